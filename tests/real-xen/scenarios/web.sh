# The example `web`, whose disk examples/web/guest/web.sh has made: this machine asks, then domain 0, then both again after a suspend.
metric() { wget -q -O - http://10.0.0.15/metrics | sed -n "s/^$1 //p"; }
has_answered() { [ "$(metric domu_http_requests_total)" -ge "$1" ]; }
is_served() { rm -f /tmp/style.css && timeout 5 wget -q -O /tmp/style.css http://10.0.0.15/style.css && cmp /tmp/style.css /tmp/site/style.css; }
is_gone() { timeout 5 wget -O /dev/null http://10.0.0.15/style.css 2>&1 | grep -q "404 Not Found"; }

wait_for_line "ready" 60
wait_until 240 has_answered 1000
say "failed $(metric 'domu_http_responses_total{code="5xx"}')"
say "cut $(metric domu_http_connections_cut_total)"

is_served
save_and_restore
wait_for_line "resumed" 60
wait_until 60 is_served

# The disk goes in good order (xl would use force after 10 s), and comes again.
before=$(uptime_seconds)
detach xvda
[ $(($(uptime_seconds) - before)) -lt 10 ] || fail "the guest did not let go of its disk"
wait_until 20 is_gone
attach /dev/loop0 xvda r
wait_until 60 is_served
say "uptime $(metric domu_uptime_seconds)"
xl shutdown "$name"
wait_for_end 60
