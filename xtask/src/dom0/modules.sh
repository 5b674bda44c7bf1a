# Linux's modules. Those in /domu/modules are loaded when domain 0 starts, those in a folder of /domu/spare when they are wanted.

# load_modules FOLDER: loads what is in it, in the order of the names.
load_modules() {
	for module in "$1"/*.ko; do
		options=
		[ ! -e "$module.options" ] || options=$(cat "$module.options")
		insmod "$module" $options || echo "cannot load $module"
	done
}

# set_parameters MODULE NAME=VALUE...: sets parameters of a module. Where one of them cannot be written, the module is taken out
# and put in again with these parameters alone, which works while nothing uses it.
set_parameters() (
	set +x
	module=$1
	shift
	cd "/sys/module/$(echo "$module" | tr - _)/parameters" || return
	for parameter; do
		# Root may write to a file without a writable bit, which fails late.
		case $(stat -c %a "${parameter%%=*}") in *[26]??) continue ;; esac
		rmmod "$module" && insmod /domu/modules/*-"$module".ko "$@"
		return
	done
	for parameter; do
		echo "${parameter#*=}" >"${parameter%%=*}" || return
	done
)
