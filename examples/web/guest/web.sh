# Gives the guest a disk with a small site: cargo xtask run web --forward 8080:80 --scenario examples/web/guest/web.sh --timeout 0
site=/tmp/site
mkdir -p $site
cat >$site/index.html <<'END'
<!DOCTYPE html>
<html lang=en>
<meta charset=utf-8>
<meta name=viewport content="width=device-width,initial-scale=1">
<meta name=color-scheme content="light dark">
<title>A file on a disk</title>
<link rel=icon href=/layers.svg>
<link rel=stylesheet href=/style.css>
<main>
<img src=/layers.svg alt="Four layers: this page, a kernel in Rust, Xen, the machine" width=360 height=252>
<h1>This page is a file.</h1>
<p>It lies in an ext4 file system, on a disk that Xen gave to a kernel written in Rust. The kernel read it through a ring of
requests, and sent it to you through another one. Between Xen and this page, the guest has nothing but
the program itself: no operating system.</p>
<p><a href=/status>What the kernel is doing right now</a></p>
</main>
END
cat >$site/style.css <<'END'
:root { --bg: #f4f6f8; --ink: #17212b; --accent: #0f766e; }
@media (prefers-color-scheme: dark) { :root { --bg: #0e1419; --ink: #e7edf3; --accent: #4fd1c0; } }
body { margin: 0; background: var(--bg); color: var(--ink); font: 1.125rem/1.6 system-ui, sans-serif; }
main { max-width: 34rem; margin: auto; padding: clamp(1.5rem, 8vh, 6rem) 1.25rem; }
h1 { font-size: clamp(1.8rem, 6vw, 2.6rem); line-height: 1.15; letter-spacing: -.02em; margin: 1.5rem 0 1rem; }
img { max-width: 100%; height: auto; }
a { color: var(--accent); font-weight: 600; }
END
cat >$site/layers.svg <<'END'
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 360 252" font-family="system-ui, sans-serif" font-size="17">
<style>text { fill: #17212b } @media (prefers-color-scheme: dark) { text { fill: #e7edf3 } }</style>
<g fill="#0f766e" stroke="#0f766e" stroke-width="1.5">
<rect x="1" y="1" width="358" height="52" rx="10" fill-opacity=".34"/>
<rect x="1" y="67" width="358" height="52" rx="10" fill-opacity=".24"/>
<rect x="1" y="133" width="358" height="52" rx="10" fill-opacity=".14"/>
<rect x="1" y="199" width="358" height="52" rx="10" fill-opacity=".06"/>
</g>
<text x="24" y="33">this page</text>
<text x="24" y="99">a kernel in Rust</text>
<text x="24" y="165">Xen</text>
<text x="24" y="231">the machine</text>
</svg>
END
make_ext4 /tmp/site.ext4 8M $site
loop /dev/loop0 /tmp/site.ext4 -r
attach /dev/loop0 xvda r
