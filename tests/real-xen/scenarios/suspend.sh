# Saves and restores the guest `suspend` as it asks for it. Every second time the suspend is called off.
time=1
while wait_for_line "ready for suspend $time" 30; do
	if [ $((time % 2)) -eq 1 ]; then
		save_and_restore 90
		wait_for_line "resumed, $time of" 30
	else
		xl_within 90 save -c "$name" /tmp/saved
		rm /tmp/saved
		wait_for_line "called off, $time of" 30
	fi
	say "$line"
	case $line in *" $time of $time") break ;; esac
	time=$((time + 1))
done
wait_for_end 30
