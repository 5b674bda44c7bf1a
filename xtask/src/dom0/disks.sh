# What scenarios can do with disks: make them, give them to the guest and take them away, and see what blkback saw of them.
#
# A DISK is the name that the guest knows: xvda, xvdb. A DEVICE is one of domain 0's: /dev/ram1 or a loop device. Files for
# loop devices go to /tmp, which is in memory: a hole in a file takes none.
#
# losetup and mke2fs have their path here, as the shell would take its own ones, which can do less.

# attach DEVICE DISK [MODE]: gives the guest a disk. MODE is w, which stands for both ways, or r.
attach() ( set +x; xl_within 60 block-attach "$name" "phy:$1,$2,${3:-w}" )

# detach DISK: takes a disk away in good order. xl uses force after ten seconds.
detach() ( set +x; xl_within 60 block-detach "$name" "$1" )

# take_away DISK: takes a disk away without asking the guest.
take_away() ( set +x; xl_within 60 block-detach --force "$name" "$1" )

# vbd DISK: prints the number that a disk has in xenstore.
vbd() (
	set +x
	letter=${1#xvd}
	echo $((51712 + 16 * ($(printf %d "'$letter") - 97)))
)

# back_end DISK: prints the directory of the disk's back-end.
back_end() ( set +x; xs_read "device/vbd/$(vbd "$1")/backend" )

# wait_connected DISK [SECONDS]: waits until both halves are connected.
wait_connected() (
	set +x
	xs_wait "device/vbd/$(vbd "$1")/state" 4 "${2:-30}" && xs_wait "$(back_end "$1")/state" 4
)

# counter DISK NAME: prints what blkback has counted since it connected: rd_req, wr_req, f_req (flushes and barriers), ds_req
# (discards), oo_req (requests that had to wait for memory), rd_sect, wr_sect.
counter() ( set +x; cat "/sys/bus/xen-backend/devices/vbd-$(domid)-$(vbd "$1")/statistics/$2" )

# counters DISK: prints all of them in a line.
counters() (
	set +x
	cd "/sys/bus/xen-backend/devices/vbd-$(domid)-$(vbd "$1")/statistics" || return
	for counter in rd_req wr_req f_req ds_req oo_req rd_sect wr_sect; do
		printf '%s=%s ' $counter "$(cat $counter)"
	done
	echo
)

# blkback NAME=VALUE...: sets parameters of blkback for the disks that are attached from now on. Some can be set only while it has
# no disk, and then the others have their defaults again.
blkback() { set_parameters xen-blkback "$@"; }

# loop DEVICE FILE [OPTION...]: makes a file a loop device, with losetup's options: -b 4096 is for large sectors, -r for reading.
loop() ( set +x; device=$1 file=$2; shift 2; /bin/losetup "$@" "$device" "$file" )

# unloop DEVICE: takes the file out of a loop device.
unloop() ( set +x; /bin/losetup -d "$1" )

# grow DEVICE FILE SIZE: gives a file, and the loop device that it is in, another size.
grow() ( set +x; truncate -s "$3" "$2" && /bin/losetup -c "$1" )

# kib_used FILE: prints how much memory a file takes.
kib_used() ( set +x; du -k "$1" | cut -f 1 )

# make_ext4 FILE SIZE FOLDER [OPTION...]: makes a file an ext4 file system with what a folder holds, by mke2fs's options.
make_ext4() (
	set +x
	file=$1 size=$2 folder=$3
	shift 3
	truncate -s "$size" "$file" && /bin/mke2fs -q -F -t ext4 -d "$folder" "$@" "$file"
)
