"use strict";
// Asks /api/status every few seconds and draws what it says. Texts are set as text, never as markup.

const ASK_EVERY_MS = 5000;
const $ = (id) => document.getElementById(id);
const dark = matchMedia("(prefers-color-scheme: dark)");
let token = null;
let charts = [];
let timer = null;

const whole = new Intl.NumberFormat("en");
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
// Rounded down: what is not all is never called all.
const percent = (part) => {
  const scale = part > 0.99 && part < 1 ? 100 : part < 0.1 ? 10 : 1;
  return `${Math.floor(part * 100 * scale) / scale} %`;
};
// In the viewer's own way of writing them: times of a day on the axis, days where they matter.
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const second = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "short", timeStyle: "medium" });
// Below this the share of a handful says nothing; below the second it is no verdict.
const READS_THAT_TELL = 20;
const READS_THAT_JUDGE = 200;
const sum = (values) => values.reduce((total, value) => total + value, 0);

async function ask(path, body) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const options = { headers, cache: "no-store" };
  if (body) {
    options.method = "POST";
    options.body = JSON.stringify(body);
    headers["Content-Type"] = "application/json";
  }
  const answer = await fetch(path, options);
  const told = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(told.message), { status: answer.status });
  return told;
}

function element(name, text, attributes = {}) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function state(text, kind) {
  if ($("state").textContent !== text) $("state").textContent = text;
  $("state").dataset.state = kind;
}

async function refresh() {
  clearTimeout(timer);
  try {
    show(await ask("api/status"));
  } catch (error) {
    if (error.status === 401 || error.status === 403) {
      $("figures").hidden = true;
      $("unlock").hidden = error.status === 403;
      $("refused").textContent = token || error.status === 403 ? error.message : "";
      state("locked", "warn");
      $("about").textContent = error.status === 403 ? error.message : "";
      token = null;
      return;
    }
    state("no answer", "bad");
  }
  timer = setTimeout(refresh, document.hidden ? ASK_EVERY_MS * 6 : ASK_EVERY_MS);
}

function reads(requests) {
  return requests.hit + requests.stale + requests.collapsed + requests.miss + requests.bypass;
}

function show(status) {
  $("unlock").hidden = true;
  $("figures").hidden = false;
  const { shield, requests, upstream, history } = status;
  $("about").textContent = `${status.version}, up ${duration(status.uptime_seconds)}`;
  if (!status.ready) state("stopping", "warn");
  else if (shield.breaker_open) state("API unreachable", "bad");
  else if (shield.edge_blocked) state("blocked by the API's edge", "bad");
  else if (shield.gates_closed > 0) state(`API limits ${shield.gates_closed}`, "warn");
  else state("healthy", "good");
  hero(requests, upstream, history);
  tiles(status);
  draw(history);
  resources(status.resources);
  organizations(shield);
  errors(status.errors);
  fleet(status.fleet);
  callers(status.callers);
}

/** Where labels alone are kept, the figures above say it all. */
function resources(rows) {
  $("resources").hidden = rows.length < 2;
  $("resources-rows").replaceChildren(...rows.map((one) => {
    const all = reads(one.reads);
    const row = element("tr");
    row.append(element("td", one.resource, { class: "mono" }), ...[
      whole.format(all), all ? percent((one.reads.hit + one.reads.stale) / all) : "–", whole.format(one.avoided), whole.format(one.writes),
    ].map((text) => element("td", text, { class: "number" })));
    return labelled(row, "resources-rows");
  }));
}

function fleet(shown) {
  $("fleet").hidden = !shown;
  if (!shown) return;
  const lease = shown.lease ? "This replica has a lease" : "This replica is alone: it serves what is stored briefly, and only its own writes at once";
  const store = shown.store ? `linked to ${shown.store}` : "no link to the store";
  const waiting = shown.unannounced_writes ? `; ${whole.format(shown.unannounced_writes)} writes are still to be told` : "";
  $("fleet-told").textContent = `${lease}; ${store}; ${whole.format(shown.members)} replicas${waiting}.`;
  const latest = Math.max(0, ...(shown.replicas ?? []).map((one) => one.applied));
  const now = Date.now() / 1000;
  $("replicas").replaceChildren(...(shown.replicas ?? []).map((one) => {
    const row = element("tr");
    const behind = element("td", one.applied >= latest ? "–" : "catching up");
    behind.className = "number";
    row.append(element("td", one.name), element("td", one.version ?? "–"), element("td", one.since ? duration(Math.max(0, Math.floor(now - one.since))) : "–"), behind);
    return labelled(row, "replicas");
  }));
}

function duration(seconds) {
  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const at = Math.max(0, units.findIndex(([, size]) => seconds >= size));
  const [name, size] = units[at];
  const rest = units[at + 1];
  const text = `${Math.floor(seconds / size)} ${name}`;
  const left = rest ? Math.floor((seconds % size) / rest[1]) : 0;
  return left ? `${text} ${left} ${rest[0]}` : text;
}

function hero(requests, upstream, history) {
  const all = reads(requests);
  if (all === 0) {
    $("share").textContent = "–";
    $("verdict").textContent = "No lead labels have been asked for yet";
    $("saved").textContent = "Point a service's Instantly base URL at this proxy, and read a label.";
    return;
  }
  const hits = requests.hit + requests.stale;
  const part = hits / all;
  const judged = all >= READS_THAT_JUDGE;
  $("share").textContent = all < READS_THAT_TELL ? "–" : percent(part);
  $("share").dataset.state = !judged ? "unknown" : part >= 0.75 ? "good" : part >= 0.4 ? "warn" : "bad";
  $("verdict").textContent = all < READS_THAT_TELL
    ? `${whole.format(hits)} of the first ${whole.format(all)} reads were hits`
    : `Hit ratio: ${percent(part)} of reads were answered from memory`;
  if (all < READS_THAT_TELL) {
    $("saved").textContent = "The first reads of each key and of each organization ask the API; those behind them are answered from memory.";
    return;
  }
  const lately = sum(Object.values(history.avoided).map(sum));
  const saved = upstream.saved >= 0
    ? `${whole.format(upstream.saved)} calls saved since the start`
    : `${whole.format(-upstream.saved)} calls more than without a cache so far`;
  $("saved").textContent = `${saved}, of ${whole.format(all)} reads. In the last hour ${whole.format(lately)} calls were avoided.`;
}

function tiles({ requests, upstream, cache, shield, connections, bindings, history }) {
  const made = sum(Object.values(upstream.calls));
  const avoided = sum(Object.values(upstream.avoided));
  const all = sum(Object.values(requests));
  const fullest = history.used_of_minute.at(-1) ?? 0;
  const rows = [
    ["Upstream calls made", compact.format(made), `${compact.format(avoided)} avoided`],
    ["Requests", compact.format(all), `${compact.format(requests.error + requests.rejected)} refused or failed here`],
    ["Fullest minute", percent(Math.max(fullest, ...shield.accounts.map((one) => one.used_of_minute / shield.limits.per_minute))), `of ${whole.format(shield.limits.per_minute)} calls`],
    ["Waiting for a turn", whole.format(shield.queued), `${whole.format(sum(Object.values(shield.rejections)))} turned away`],
    ["Stale answers", compact.format(requests.stale), shield.breaker_open ? "the API cannot be reached" : "since the start"],
    ["Stored", compact.format(cache.entries), `${compact.format(cache.bytes / 1048576)} MiB`],
    ["Keys known", compact.format(bindings), `${whole.format(connections)} connections open`],
  ];
  $("tiles").replaceChildren(...rows.map(([name, value, note]) => {
    const tile = element("div");
    const figure = element("dd", value);
    figure.append(element("small", note));
    tile.append(element("dt", name), figure);
    return tile;
  }));
}

const colors = () => dark.matches
  ? { blue: "#6fb0ff", green: "#5ed391", orange: "#f0a653", red: "#ff8f86", violet: "#c3a2ff", grey: "#a0abbd", teal: "#56cfd0", line: "#2b3442", ink: "#a0abbd" }
  : { blue: "#0b62d6", green: "#0d8a48", orange: "#c26a04", red: "#c0271f", violet: "#7443c4", grey: "#6b7587", teal: "#0a7f86", line: "#e4e7ed", ink: "#586275" };

function plans() {
  const c = colors();
  const perSecond = (values, step) => values.map((value) => value / step);
  const requests = { hit: c.green, stale: c.orange, collapsed: c.teal, miss: c.blue, bypass: c.violet, forwarded: c.grey, rejected: c.red, error: c.red };
  const part = (top, bottom) => (bottom ? (100 * top) / bottom : null);
  return [
    ["chart-requests", {}, Object.entries(requests).map(([name, color]) => ({
      label: name, color, dash: name === "error" ? [6, 4] : undefined, of: (h) => perSecond(h.requests[name], h.step_seconds), digits: 1,
    }))],
    ["chart-ratio", { range: [0, 100] }, [{
      label: "hit ratio", color: c.green, fill: true, digits: 0,
      of: (h) => h.at.map((_, i) => part(h.requests.hit[i] + h.requests.stale[i], ["hit", "stale", "collapsed", "miss", "bypass"].reduce((all, name) => all + h.requests[name][i], 0))),
    }]],
    ["chart-calls", {}, [
      { label: "avoided", color: c.green, fill: true, digits: 1, of: (h) => perSecond(h.at.map((_, i) => sum(Object.values(h.avoided).map((values) => values[i]))), h.step_seconds) },
      { label: "made for these reads", color: c.blue, digits: 1, of: (h) => perSecond(h.at.map((_, i) => ["fill", "proof", "refresh", "list_fill"].reduce((all, name) => all + h.calls[name][i], 0)), h.step_seconds) },
      { label: "made for everything else", color: c.grey, digits: 1, of: (h) => perSecond(h.at.map((_, i) => h.calls.write[i] + h.calls.pass_through[i]), h.step_seconds) },
    ]],
    ["chart-latency", { log: true }, [
      { label: "hits p50", color: c.green, digits: 2, of: (h) => h.hit_p50_ms },
      { label: "hits p99", color: c.green, dash: [6, 4], digits: 2, of: (h) => h.hit_p99_ms },
      { label: "misses p50", color: c.blue, digits: 1, of: (h) => h.miss_p50_ms },
      { label: "misses p99", color: c.blue, dash: [6, 4], digits: 1, of: (h) => h.miss_p99_ms },
    ]],
    ["chart-budget", { range: [0, 100] }, [
      { label: "of the minute", color: c.blue, fill: true, digits: 0, of: (h) => h.used_of_minute.map((used) => used * 100) },
      { label: "of the second", color: c.orange, digits: 0, of: (h) => h.used_of_second.map((used) => used * 100) },
    ]],
    ["chart-trouble", {}, [
      { label: "stale a second", color: c.orange, digits: 1, of: (h) => perSecond(h.requests.stale, h.step_seconds) },
      { label: "5xx a second", color: c.red, digits: 1, of: (h) => perSecond(h.errors, h.step_seconds) },
      { label: "calls waiting", color: c.violet, digits: 0, of: (h) => h.queued },
      { label: "organizations limited", color: c.grey, dash: [6, 4], digits: 0, of: (h) => h.gates_closed },
    ]],
  ];
}

function make([id, options, series]) {
  const c = colors();
  const place = $(id);
  const axis = { stroke: c.ink, grid: { stroke: c.line, width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
  const y = options.log ? { distr: 3 } : { range: options.range ?? ((_, __, top) => [0, Math.max(top ?? 0, 1) * 1.1]) };
  const plot = new uPlot({
    // Room for the half of a time that stands at the edge.
    width: place.clientWidth, height: 190, padding: [10, 44, null, null], cursor: { points: { size: 6 } },
    scales: { x: { time: true }, y },
    axes: [{ ...axis, space: 90, values: (_, ticks, __, ___, apart) => ticks.map((tick) => (apart < 60 ? second : clock).format(new Date(tick * 1000))) }, { ...axis, size: 52, values: (_, ticks) => ticks.map((tick) => (tick === null ? "" : compact.format(tick))) }],
    series: [{ label: "time" }, ...series.map(({ label, color, dash, fill, digits }) => ({
      label, stroke: color, dash, width: 1.75, fill: fill ? `${color}22` : undefined, points: { show: false },
      value: (_, value) => (value === null || value === undefined ? "–" : value.toFixed(digits)),
    }))],
  }, [[], ...series.map(() => [])], place);
  return { plot, place, series, title: place.parentElement.querySelector("figcaption").textContent };
}

function draw(history) {
  if (charts.length === 0) charts = plans().map(make);
  for (const { plot, place, series, title } of charts) {
    const columns = series.map(({ of }) => of(history));
    plot.setData([history.at, ...columns]);
    // Behind the library's own commit, which would empty the legend where no pointer is.
    requestAnimationFrame(() => {
      if (plot.root.isConnected && (plot.cursor.left ?? -1) < 0) plot.setLegend({ idx: history.at.length - 1 });
    });
    const latest = series.map(({ label, digits }, i) => {
      const value = columns[i].at(-1);
      return `${label} ${value === null || value === undefined ? "none" : value.toFixed(digits)}`;
    });
    place.setAttribute("aria-label", `${title}. Latest: ${latest.join(", ")}.`);
  }
}

function redraw() {
  for (const { plot } of charts) plot.destroy();
  charts = [];
  refresh();
}

function organizations({ accounts, others, limits, limit_holds_for, calls_without_binding }) {
  const holds = limit_holds_for === "all_callers" ? "for all callers" : "for callers whose organization is known";
  $("limits").textContent = `Each may send ${whole.format(limits.per_second)} calls a second and ${whole.format(limits.per_minute)} a minute through this process; the limit is kept ${holds}. ${whole.format(calls_without_binding)} calls came from callers that are not.`;
  const rows = accounts.map((one) => {
    const row = element("tr");
    const name = element("td", one.organization ?? (one.account === "everybody" ? "everybody else" : "a caller not known yet"));
    if (one.organization) name.className = "mono";
    const used = element("td");
    const part = one.used_of_minute / limits.per_minute;
    used.append(element("meter", undefined, { min: 0, max: 1, high: 0.9, optimum: 0, value: part, "aria-label": "part of the minute used" }), percent(part));
    row.append(name, used, element("td", whole.format(one.queued), { class: "number" }), element("td", whole.format(one.calls), { class: "number" }),
      element("td", one.avoided === null ? "–" : whole.format(one.avoided), { class: "number" }),
      element("td", one.closed_for_seconds === null ? "no" : `for ${duration(one.closed_for_seconds)} more`));
    return labelled(row, "organizations");
  });
  if (others.accounts > 0) {
    const row = element("tr");
    row.append(element("td", `${whole.format(others.accounts)} others`), element("td", `${whole.format(others.used_of_minute)} calls`), element("td", whole.format(others.queued), { class: "number" }),
      element("td", whole.format(others.calls), { class: "number" }), element("td", whole.format(others.avoided), { class: "number" }), element("td", "–"));
    rows.push(labelled(row, "organizations"));
  }
  $("organizations").replaceChildren(...(rows.length ? rows : [empty(6, "Nobody has called yet.")]));
}

function errors(list) {
  const rows = list.map(({ error, message, count, latest }) => {
    const row = element("tr");
    row.append(element("td", error, { class: "mono" }), element("td", whole.format(count), { class: "number" }), element("td", moment.format(new Date(latest * 1000))), element("td", message));
    return labelled(row, "errors");
  });
  $("errors").replaceChildren(...(rows.length ? rows : [empty(4, "None since the start.")]));
}

/** On a narrow screen a row is a card, and each of its cells says what it is. */
function labelled(row, body) {
  const names = $(body).closest("table").querySelectorAll("thead th");
  [...row.children].forEach((cell, i) => { cell.dataset.name = names[i].textContent; });
  return row;
}

function empty(columns, text) {
  const row = element("tr");
  row.append(element("td", text, { colspan: columns, class: "quiet" }));
  return row;
}

$("unlock").addEventListener("submit", (event) => {
  event.preventDefault();
  token = $("token").value.trim();
  $("token").value = "";
  refresh();
});

function sure(asked) {
  $("purge-ask").hidden = asked;
  $("purge-sure").hidden = $("purge-never").hidden = !asked;
}

function purged() {
  const what = {};
  for (const key of ["organization", "label"]) {
    const value = $(`purge-${key}`).value.trim();
    if (value) what[key] = value;
  }
  return what;
}

$("purge").addEventListener("submit", (event) => {
  event.preventDefault();
  const { organization, label } = purged();
  const what = label ? `label ${label} and every list` : "everything";
  $("purge-told").textContent = `Take away ${what}${organization ? ` of ${organization}` : ""}?`;
  sure(true);
  $("purge-sure").focus();
});
$("purge-never").addEventListener("click", () => {
  sure(false);
  $("purge-told").textContent = "";
  $("purge-ask").focus();
});
$("purge-sure").addEventListener("click", async () => {
  sure(false);
  $("purge-ask").focus();
  try {
    const gone = await ask("api/purge", purged());
    $("purge-told").textContent = `Gone: ${Object.entries(gone).map(([name, value]) => `${name.replaceAll("_", " ")} ${value}`).join(", ")}.`;
    refresh();
  } catch (error) {
    $("purge-told").textContent = error.message;
  }
});

$("explain").addEventListener("submit", async (event) => {
  event.preventDefault();
  const headers = {};
  if ($("explain-token").value) headers.authorization = `Bearer ${$("explain-token").value.trim()}`;
  if ($("explain-workspace").value) headers["x-as-workspace"] = $("explain-workspace").value.trim();
  const body = { method: $("explain-method").value, path: $("explain-path").value.trim(), headers };
  try {
    const told = await ask("api/explain", body);
    const table = element("table");
    const rows = element("tbody");
    const line = (name, value) => {
      const row = element("tr");
      row.append(element("th", name.replaceAll("_", " "), { scope: "row" }), element("td", typeof value === "object" ? JSON.stringify(value) : String(value)));
      rows.append(row);
    };
    for (const [name, value] of Object.entries(told)) {
      if (value !== null && typeof value === "object" && !Array.isArray(value)) for (const [inner, one] of Object.entries(value)) line(`${name} ${inner}`, one);
      else line(name, value);
    }
    table.append(rows);
    $("explain-told").replaceChildren(table);
  } catch (error) {
    $("explain-told").replaceChildren(element("p", error.message, { class: "fault" }));
  }
});

let resizing = null;
addEventListener("resize", () => {
  clearTimeout(resizing);
  resizing = setTimeout(() => charts.forEach(({ plot, place }) => plot.setSize({ width: place.clientWidth, height: 190 })), 150);
});
dark.addEventListener("change", redraw);
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
refresh();
