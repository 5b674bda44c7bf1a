# The example `web`, whose disk examples/web/guest/web.sh has made: this machine asks, then domain 0, then both again after a suspend.
metric() { wget -q -O - http://10.0.0.15/metrics | sed -n "s/^$1 //p"; }
has_answered() { [ "$(metric domu_http_requests_total)" -ge "$1" ]; }

wait_for_line "ready" 60
wait_until 240 has_answered 1000
say "failed $(metric 'domu_http_responses_total{code="5xx"}')"
say "cut $(metric domu_http_connections_cut_total)"

wget -q -O /tmp/style.css http://10.0.0.15/style.css
cmp /tmp/style.css /tmp/site/style.css
save_and_restore
wait_for_line "resumed" 60
rm /tmp/style.css
wait_until 60 timeout 5 wget -q -O /tmp/style.css http://10.0.0.15/style.css
cmp /tmp/style.css /tmp/site/style.css
say "uptime $(metric domu_uptime_seconds)"
xl shutdown "$name"
wait_for_end 60
