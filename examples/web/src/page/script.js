(() => {
const all = s => [...document.querySelectorAll(s)], state = document.getElementById("state");
const group = n => String(n).replace(/\B(?=(\d{3})+$)/g, "\u202f");
const bytes = n => {
  let u = 0, w = n;
  while (w >= 1024 && u < 4) w /= 1024, u++;
  const s = u && w < 100 ? (Math.floor(w * 10) / 10).toFixed(1) : Math.floor(w);
  return s + " " + ["B", "KiB", "MiB", "GiB", "TiB"][u];
};
const show = (e, n) => (e.dataset.bytes === undefined ? group : bytes)(n);
const two = n => String(n).padStart(2, "0");
const up = ms => {
  const s = Math.floor(ms / 1000), d = Math.floor(s / 86400);
  return (d ? d + " d " : "") + [s / 3600 % 24, s / 60 % 60, s % 60].map(n => two(Math.floor(n))).join(":");
};
const top = (v, base) => {
  let scale = 1;
  while (v / scale >= base) scale *= base;
  return [1, 2, 5, 10, 20, 50, 100, 200, 500, base].map(s => s * scale).find(t => t >= v);
};
const draw = (svg, { minute, of }) => {
  const lines = [...svg.querySelectorAll("[data-l]")];
  const t = top(Math.max(0, ...lines.flatMap(l => minute[l.dataset.l])), svg.dataset.bytes === undefined ? 1000 : 1024);
  for (const l of lines) {
    const key = l.dataset.l, v = minute[key], all = svg.dataset.share === undefined ? t : of[key] || 1, x = i => 240 - (v.length - 1 - i) * 240 / 59;
    const d = v.length ? "M" + v.map((n, i) => x(i).toFixed(1) + " " + (64 - Math.min(n / all, 1) * 61).toFixed(1)).join("L") : "M240 64";
    l.setAttribute("d", d);
    l.previousElementSibling.setAttribute("d", v.length ? d + "L240 64L" + x(0) + " 64Z" : d);
  }
  if (svg.dataset.share === undefined) svg.previousElementSibling.textContent = show(svg, t);
};
const say = (mode, text) => { state.className = "state " + mode; state.lastChild.textContent = text; };
const tick = async () => {
  try {
    const answer = await fetch("/status.json", { signal: AbortSignal.timeout(3000) });
    if (!answer.ok) throw answer.status;
    const f = await answer.json();
    document.getElementById("uptime").textContent = up(f.uptime_ms);
    all("[data-n]").forEach(e => e.textContent = show(e, f.now[e.dataset.n]));
    all("[data-r]").forEach(e => e.textContent = show(e, f.minute[e.dataset.r].at(-1) || 0));
    all("figure svg").forEach(svg => draw(svg, f));
    say("live", "live");
  } catch (e) {
    say("lost", "no answer");
  }
  setTimeout(tick, document.hidden ? 5000 : 1000);
};
tick();
})();
