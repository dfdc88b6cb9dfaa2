"use strict";
// One source, one picture: `look` fetches the figures of the chosen time, `show` draws all of them.

const CHOICES = {
  range: [["24h", "24 h"], ["7d", "7 d"], ["30d", "30 d"], ["90d", "90 d"], ["all", "all"]],
  step: [["hour", "hour"], ["day", "day"], ["week", "week"]],
  by: [["route", "route"], ["model", "model"]],
};
const chosen = { range: "7d", step: "day", by: "route" };
const EVERY_MS = 3000;
const SHARE = 20; // a ledger that takes long to read is read less often: a twentieth of the time at most
const opened = new Set(); // calls whose attempts are shown
const charts = {};
let timer, asked = 0, drawn = "";

const at = (id) => document.getElementById(id);

function h(tag, name, ...children) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  element.append(...children.filter((child) => child !== null));
  return element;
}

// ---------------------------------------------------------------------------------------------- words for numbers

const count = (number) => number.toLocaleString("en-US");
const plural = (number, what) => `${count(number)} ${what}${number === 1 ? "" : "s"}`;
const short = (number) => Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 1 }).format(number);
const share = (number) => (number === null ? "–" : `${(100 * number).toFixed(1)} %`);
const seconds = (number) => (number === null ? "–" : number < 10 ? `${number.toFixed(2)} s` : `${number.toFixed(1)} s`);
function money(usd) {
  if (usd === null) return "?";
  if (usd === 0) return "$0";
  const digits = Math.abs(usd) >= 1 ? 2 : Math.abs(usd) >= 0.001 ? 4 : 6;
  return `${usd < 0 ? "-" : ""}$${Math.abs(usd).toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits })}`;
}
const given = (usd) => money(usd).replace(/(\.\d\d\d*?)0+$/, "$1"); // as somebody wrote it: $0.90, not $0.9000
function tick(usd, step) { // as many digits as the step of the axis needs, at least cents
  let digits = step >= 1 ? 0 : 2;
  while (digits < 9 && Math.abs(step * 10 ** digits - Math.round(step * 10 ** digits)) > 1e-6) digits++;
  return `$${usd.toFixed(digits)}`;
}
const bill = (group) => money(group.cost_usd) + (group.unpriced ? " + ?" : "");
function when(unix, step) {
  const text = new Date(unix * 1000).toISOString();
  if (step === "hour") return `${text.slice(5, 10)} ${text.slice(11, 16)}`;
  return step === "week" ? `week of ${text.slice(5, 10)}` : text.slice(5, 10);
}
const KINDS = { ok: "good", cached: "good", stale: "warn", failed: "bad", abandoned: "warn", cancelled: "idle", closed: "good", open: "bad", half_open: "warn" };
const pill = (word) => h("span", `pill ${KINDS[word] || "idle"}`, word.replace("_", "-"));
function fate(outcome) { // of a call or an attempt; what is open there is no breaker
  const element = outcome === "open" ? h("span", "pill idle", outcome) : pill(outcome);
  if (outcome === "open") element.title = "under way, or lost with its process";
  return element;
}

// ---------------------------------------------------------------------------------------------- tiles and tables

function tile(name, number, note, bad) {
  const element = h("div", "tile", h("span", "", name), h("b", bad ? "bad" : "", number), h("small", "", note));
  element.id = `tile-${name.toLowerCase().replace(" ", "-")}`;
  return element;
}

function tiles(total) {
  const input = total.input_tokens, output = total.output_tokens;
  at("tiles").replaceChildren(
    tile("Spend", money(total.cost_usd), total.unpriced ? `and ${count(total.unpriced)} unpriced` : plural(total.attempts, "request")),
    tile("Calls", count(total.calls), `${plural(total.absorbed, "failure")} absorbed`),
    tile("Cache hits", share(total.hit_rate), `saved ${money(total.cache_saved_usd)}`),
    tile("Errors", share(total.error_rate), `${plural(total.failed_calls, "call")} failed`, total.failed_calls > 0),
    tile("Latency", seconds(total.p50_s), `p95 ${seconds(total.p95_s)}`),
    tile("Tokens", short(input + output), `${short(input)} in, ${short(output)} out`),
  );
}

function table(groups, total, by) {
  at("groups-title").textContent = by === "route" ? "Routes" : "Models";
  const head = h("tr", "", ...[by, "spend", "calls", "failed", "hits", "in", "out", "p50", "p95"].map((name) => h("th", "", name)));
  const cells = (group, name) => [
    name, bill(group), count(group.calls), share(group.error_rate), share(group.hit_rate),
    short(group.input_tokens), short(group.output_tokens), seconds(group.p50_s), seconds(group.p95_s),
  ];
  const line = (texts) => h("tr", "", ...texts.map((text) => h("td", "", text)));
  const lines = groups.map((group) => line(cells(group, group.key)));
  at("groups").replaceChildren(h("thead", "", head), h("tbody", "", ...lines, line(cells(total, "total"))));
}

function bar(parts) {
  const full = parts.reduce((sum, part) => sum + part, 0);
  const element = h("div", `bar ${full >= 1 ? "full" : full >= 0.8 ? "near" : ""}`);
  for (const part of parts) {
    const piece = h("i");
    piece.style.width = `${Math.min(100, 100 * part)}%`;
    element.append(piece);
  }
  return element;
}

function fill(name, text, note, parts) {
  return h("div", "fill", h("p", "", h("span", "", name), h("span", "", text)), bar(parts), note ? h("small", "", note) : null);
}

const none = (text) => h("p", "soft", text);

function spending(limits) {
  const lines = limits.map((limit) => {
    const most = limit.limit_usd || 1e-9;
    const notes = [`${share((limit.spent_usd + limit.reserved_usd) / most)} used`];
    if (limit.reserved_usd > 0) notes.push(`${money(limit.reserved_usd)} reserved by calls under way`);
    notes.push(limit.resets_at === null ? "never resets" : `resets ${new Date(limit.resets_at * 1000).toISOString().slice(0, 16).replace("T", " ")}`);
    const name = limit.scope === "all" ? "all routes" : limit.scope.replace(":", " ");
    const text = `${money(limit.spent_usd)} of ${given(limit.limit_usd)} ${limit.per === "total" ? "in total" : `a ${limit.per}`}`;
    return fill(name, text, notes.join(", "), [limit.spent_usd / most, limit.reserved_usd / most]);
  });
  at("spending").replaceChildren(...(lines.length ? lines : [none("The file sets none. “spend_limit: {usd: 5, per: day}” on a route keeps it from spending more.")]));
}

function breakers(states) {
  const lines = states.map((state) => {
    const element = h("div", "line", h("span", "", state.target), pill(state.phase));
    element.title = state.text;
    return element;
  });
  const note = none("These are this page's own. With “state” in the file, programs share their breakers, and they show here.");
  at("breakers").replaceChildren(...(lines.length ? [...lines, note] : [none("The file has no routes yet.")]));
}

function limits(given) {
  at("pace").hidden = !given.length;
  const lines = given.map((limit) => fill(`${limit.name}: ${limit.kind.replaceAll("_", " ")}`, `${count(limit.used)} of ${count(limit.most)}`, "", [limit.used / limit.most]));
  at("limits").replaceChildren(...lines);
}

function last(calls) {
  at("last").replaceChildren(...calls.map((call) => {
    const ended = new Date(call.time * 1000).toISOString(), more = call.attempts.length;
    const tokens = `${short(call.input_tokens)} in, ${short(call.output_tokens)} out`;
    const element = h("details", "", h("summary", "",
      h("span", "time", `${ended.slice(5, 10)} ${ended.slice(11, 16)}`), h("span", "route", call.route), h("span", "target", more > 1 ? `${call.target}, ${more} attempts` : call.target),
      h("span", "outcome", fate(call.outcome)), h("span", "num tokens", tokens), h("span", "num took", seconds(call.seconds)),
      h("span", "num cost", money(call.cost_usd))),
    ...call.attempts.map((attempt, place) => h("div", "attempt",
      h("span", "num number", `${place + 1}`), h("span", "", attempt.waited > 0 ? `waited ${seconds(attempt.waited)}` : place ? "at once" : "first"),
      h("span", "target", attempt.error ? `${attempt.target}: ${attempt.error}` : attempt.target), h("span", "", fate(attempt.outcome)),
      h("span", "num tokens", `${short(attempt.input_tokens)} in, ${short(attempt.output_tokens)} out`), h("span", "num took", seconds(attempt.seconds)),
      h("span", "num", money(attempt.cost_usd)))));
    element.open = opened.has(call.id);
    element.addEventListener("toggle", () => (element.open ? opened.add(call.id) : opened.delete(call.id)));
    return element;
  }));
}

// ---------------------------------------------------------------------------------------------- charts

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function legend(id, parts) {
  at(id).replaceChildren(...parts.map((part) => {
    const dot = h("span", "dot");
    dot.style.background = part.colour;
    return h("li", "", dot, part.total === undefined ? part.name : `${part.name} ${part.total}`);
  }));
}

// A chart of `parts` ({name, colour, values, drawn}) over the steps of `time`; `word` writes a value.
function chart(id, time, parts, word, bars, mark = word) {
  const box = at(id);
  if (charts[id]) charts[id].destroy();
  const tip = h("div", "tip");
  tip.hidden = true;
  const n = time.starts.length, text = colour("--soft"), line = colour("--line");
  const series = parts.map((part) => ({
    stroke: part.colour, width: bars ? 0 : 2, spanGaps: !bars, points: { show: !bars && n < 60, size: 5, fill: part.colour },
    ...(bars ? { fill: part.colour, paths: uPlot.paths.bars({ size: [0.72, 46], radius: 0.08 }), points: { show: false } } : {}),
  }));
  const font = "12px system-ui, sans-serif";
  const plot = new uPlot({
    width: box.clientWidth, height: box.clientHeight, series: [{}, ...series], legend: { show: false },
    padding: [8, 18, 0, 0], // the last label is as wide as two of it
    scales: { x: { time: false, range: () => [-0.6, n - 0.4] }, y: { range: (_, low, high) => [0, (high || 1) * 1.08] } },
    axes: [
      { stroke: text, font, grid: { show: false }, ticks: { show: false }, size: 26, values: (_, ticks) => ticks.map((tick) => when(time.starts[tick] || 0, time.step).replace("week of ", "")),
        splits: (plot) => {
          const apart = Math.max(1, Math.ceil(n / Math.max(1, Math.floor(plot.bbox.width / devicePixelRatio / (time.step === "hour" ? 92 : 56)))));
          return Array.from({ length: n }, (_, place) => place).filter((place) => (n - 1 - place) % apart === 0);
        } },
      { stroke: text, font, grid: { stroke: line, width: 1 }, ticks: { show: false }, size: 62, values: (_, ticks, _axis, _space, step) => ticks.map((value) => mark(value, step)) },
    ],
    cursor: { y: false, drag: { x: false, y: false }, points: { show: !bars } },
    hooks: { setCursor: [(plot) => {
      const place = plot.cursor.idx;
      tip.hidden = place === null || place === undefined || plot.cursor.left < 0;
      if (tip.hidden) return;
      const lines = parts.filter((part) => part.values[place] !== null && (part.values[place] || parts.length < 3)).map((part) => {
        const dot = h("span", "dot");
        dot.style.background = part.colour;
        return h("div", "", dot, `${part.name} ${word(part.values[place])}`);
      });
      tip.replaceChildren(h("b", "", when(time.starts[place], time.step)), ...lines);
      const left = plot.over.offsetLeft + plot.cursor.left;
      tip.style.left = `${Math.max(0, Math.min(left + 14, box.clientWidth - tip.offsetWidth))}px`;
      tip.style.top = "8px";
    }] },
  }, [time.starts.map((_, place) => place), ...parts.map((part) => part.drawn || part.values)], box);
  box.append(tip);
  charts[id] = { destroy: () => { plot.destroy(); tip.remove(); } };
}

function pictures(time) {
  const groups = time.series.map((each, place) => ({
    name: each.name, colour: colour(`--c${Math.min(place, 7)}`), values: each.nano.map((nano) => nano / 1e9),
  }));
  const sums = time.starts.map(() => 0);
  for (const group of groups) group.drawn = group.values.map((value, place) => (sums[place] += value)); // stacked
  chart("spend", time, [...groups].reverse(), money, true, tick); // the highest first: each later one covers its foot
  legend("spend-legend", groups.map((group) => ({ ...group, total: money(group.values.reduce((sum, value) => sum + value, 0)) })));
  const done = { name: "answered", colour: colour("--c0"), values: time.calls.map((calls, place) => calls - time.failed[place]), drawn: time.calls };
  const failed = { name: "failed", colour: colour("--bad"), values: time.failed };
  chart("calls", time, [done, failed], count, true);
  legend("calls-legend", [done, failed]);
  const lines = [{ name: "p50", colour: colour("--c0"), values: time.p50_s }, { name: "p95", colour: colour("--c2"), values: time.p95_s }];
  chart("latency", time, lines, seconds, false, (number) => `${number} s`);
  legend("latency-legend", lines);
}

// ---------------------------------------------------------------------------------------------- keeping up to date

let figures = null;

function show() {
  document.body.classList.toggle("no-calls", !figures.total.calls);
  at("empty").hidden = figures.total.calls > 0;
  tiles(figures.total);
  table(figures.groups, figures.total, chosen.by);
  spending(figures.spending);
  breakers(figures.breakers);
  limits(figures.limits);
  last(figures.calls);
  const picture = JSON.stringify(figures.time);
  if (figures.total.calls && picture !== drawn) {
    pictures(figures.time);
    drawn = picture;
  }
}

async function look() {
  clearTimeout(timer);
  const number = ++asked;
  let wait = EVERY_MS;
  try {
    const answer = await fetch(`/data.json?${new URLSearchParams(chosen)}`);
    const found = await answer.json();
    if (number !== asked) return;
    if (!answer.ok) throw new Error(found.error);
    figures = found;
    show();
    wait = Math.max(EVERY_MS, SHARE * 1000 * found.seconds);
    at("state").className = "";
    at("state").textContent = `updated ${new Date(found.at * 1000).toISOString().slice(11, 19)} UTC`;
  } catch (error) {
    if (number !== asked) return;
    at("state").className = "lost";
    at("state").textContent = error instanceof TypeError ? "the server does not answer; trying again" : error.message;
  }
  if (!document.hidden) timer = setTimeout(look, wait);
}

for (const [name, choices] of Object.entries(CHOICES)) {
  for (const [value, text] of choices) {
    const input = h("input");
    Object.assign(input, { type: "radio", name, value, checked: chosen[name] === value });
    input.addEventListener("change", () => {
      chosen[name] = value;
      if (name === "range" && (value === "24h" || chosen.step === "hour")) {
        chosen.step = value === "24h" ? "hour" : "day";
        document.querySelector(`input[name=step][value=${chosen.step}]`).checked = true;
      }
      look();
    });
    at(name).append(h("label", "", input, h("span", "", text)));
  }
}

function redraw() {
  drawn = "";
  if (figures) show();
}

let resizing;
addEventListener("resize", () => { clearTimeout(resizing); resizing = setTimeout(redraw, 120); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });
look();
