# Gives the guest `cat` a file system with a file whose SHA-256 domain 0 knows. Where $changed is set before, a byte of it
# is another one.
mkdir -p /tmp/files/folder
seq 1 40000 >/tmp/files/folder/numbers
say "sha256 $(sha256sum /tmp/files/folder/numbers | cut -d ' ' -f 1)"
say "bytes $(wc -c </tmp/files/folder/numbers)"
[ -z "${changed:-}" ] || printf x | dd of=/tmp/files/folder/numbers bs=1 seek=100000 conv=notrunc 2>/dev/null
make_ext4 /tmp/ext4 8M /tmp/files
loop /dev/loop0 /tmp/ext4 -r
attach /dev/loop0 xvda r
wait_for_end 60
unloop /dev/loop0
rm -r /tmp/ext4 /tmp/files
