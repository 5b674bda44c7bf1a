# Gives the guest a disk with an ext4 file system: cargo xtask run cat --scenario examples/src/bin/cat.sh -- /folder/file
mkdir -p /tmp/files/folder
echo 'hello from ext4' >/tmp/files/folder/file
make_ext4 /tmp/ext4 8M /tmp/files
loop /dev/loop0 /tmp/ext4 -r
attach /dev/loop0 xvda r
wait_for_end 60
unloop /dev/loop0
rm -r /tmp/ext4 /tmp/files
