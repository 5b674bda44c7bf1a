# The init of the Linux in the scenario `network`: its port 7 sends back what comes, 9 keeps it, 19 says something, and 80 is for
# browsers. It does what is typed.
ip addr add 10.0.0.15/24 dev eth0
ip link set eth0 up
mkdir /www
echo 'a page of the guest' >/www/index.html
httpd -f -v -h /www &
printf '#!/bin/sh\ncat >/tmp/received' >/bin/keep
chmod +x /bin/keep
nc -ll -p 7 -e cat &
nc -ll -p 9 -e keep &
nc -ll -p 19 -e echo some words &
# What is typed would come back as a line of the console.
stty -echo
echo ready
while read -r line; do
	eval "$line"
	echo "done"
done
