"use strict";
// Callers and keys: a table that sorts by each of its columns, over a minute, an hour or all time. `page.js`, which comes behind,
// says when there are new figures, and brings `element`, `labelled` and what writes numbers.

const ROWS_SHOWN = 200;
const bill = { told: null, of: "callers", over: "minute", by: "requests", reversed: false, find: "" };

const counted = (numbers, name) => numbers[name] ?? 0;
const answered = (numbers, outcomes) => outcomes.reduce((all, outcome) => all + (numbers.outcomes?.[outcome] ?? 0), 0);
const listed = (counts) => Object.entries(counts ?? {}).map(([name, count]) => `${name} ${whole.format(count)}`).join(", ");
const labelReads = (numbers) => answered(numbers, ["hit", "stale", "collapsed", "miss", "bypass"]);

function inTime(micros) {
  if (micros === 0) return "0";
  if (micros < 1000) return "< 1 ms";
  return micros < 10_000_000 ? `${whole.format(Math.floor(micros / 1000))} ms` : duration(Math.floor(micros / 1_000_000));
}

function inBytes(bytes) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  for (; bytes >= 1024 && at < units.length - 1; at += 1) bytes /= 1024;
  return `${at ? bytes.toFixed(1) : bytes} ${units[at]}`;
}

// In the order of the titles in index.html: what each says of a row, and how.
const COLUMNS = {
  name: { of: (row) => row.name },
  requests: { of: (_, numbers) => numbers.requests, more: (numbers) => listed(numbers.outcomes) },
  hits: {
    of: (_, numbers) => (labelReads(numbers) ? answered(numbers, ["hit", "stale"]) / labelReads(numbers) : -1),
    text: (part) => (part < 0 ? "–" : percent(part)),
  },
  bypassed: { of: (_, numbers) => sum(Object.values(numbers.bypasses ?? {})), more: (numbers) => listed(numbers.bypasses) },
  calls: { of: (_, numbers) => numbers.upstream_calls },
  saved: { of: (_, numbers) => counted(numbers, "saved") },
  waited: { of: (_, numbers) => counted(numbers, "waited_us"), text: inTime },
  own429: { of: (_, numbers) => counted(numbers, "own_429") },
  api401: { of: (_, numbers) => counted(numbers, "api_401") },
  api402: { of: (_, numbers) => counted(numbers, "api_402") },
  api403: { of: (_, numbers) => counted(numbers, "api_403") },
  api429: { of: (_, numbers) => counted(numbers, "api_429") },
  denied: { of: (_, numbers) => counted(numbers, "denied") },
  would: { of: (_, numbers) => counted(numbers, "would_wait") + counted(numbers, "would_refuse") },
  bytes: { of: (_, numbers) => counted(numbers, "bytes"), text: inBytes },
};
const TROUBLE = ["own429", "api401", "api402", "api403", "api429", "denied"];

/** Takes what a status says of callers; nothing where they are not told apart. */
function callers(told) {
  bill.told = told ?? null;
  document.getElementById("callers").hidden = !told;
  if (told) drawCallers();
}

function sorted() {
  const { of } = COLUMNS[bill.by];
  const key = (row) => of(row, row[bill.over]);
  const order = bill.by === "name"
    ? (one, other) => (key(one) < key(other) ? -1 : key(one) > key(other) ? 1 : 0)
    : (one, other) => key(other) - key(one);
  const rows = bill.told[bill.of].filter((row) => row.name.toLowerCase().includes(bill.find)).sort(order);
  return bill.reversed ? rows.reverse() : rows;
}

function drawCallers() {
  const rows = sorted();
  const told = rows.length > ROWS_SHOWN ? `The first ${ROWS_SHOWN} of ${whole.format(rows.length)}; find others by their names.` : `${whole.format(rows.length)} rows.`;
  document.getElementById("callers-told").textContent = told;
  for (const title of document.querySelectorAll("#callers th")) {
    const isBy = title.dataset.column === bill.by;
    if (isBy) title.setAttribute("aria-sort", (bill.by === "name") === bill.reversed ? "descending" : "ascending");
    else title.removeAttribute("aria-sort");
  }
  document.getElementById("callers-by").value = bill.by;
  document.getElementById("callers-rows").replaceChildren(...(rows.length ? rows.slice(0, ROWS_SHOWN).map(line) : [empty(15, "Nobody.")]));
}

function line(row) {
  const made = element("tr");
  const numbers = row[bill.over];
  for (const [name, { of, text, more }] of Object.entries(COLUMNS)) {
    const value = of(row, numbers);
    if (name === "name") {
      made.append(named(row));
      continue;
    }
    const cell = element("td", text ? text(value) : whole.format(value), { class: "number" });
    if (value <= 0) cell.classList.add("nothing");
    else if (TROUBLE.includes(name)) cell.classList.add("trouble");
    const details = value > 0 && more ? more(numbers) : "";
    if (details) cell.title = details;
    made.append(cell);
  }
  return labelled(made, "callers-rows");
}

/** Its name; below it what it may have, and how its key was refused last. */
function named(row) {
  const cell = element("td", row.name, { class: "mono name" });
  const limit = bill.of === "callers" ? bill.told.limits.find(({ name }) => name === row.name) : null;
  const said = [];
  if (limit) {
    said.push(`weight ${limit.weight}`);
    if (limit.requests_per_minute_here) said.push(`${whole.format(limit.requests_per_minute_here)} calls a minute here`);
    if (limit.priority !== "interactive") said.push(limit.priority);
    if (limit.observe) said.push("observed alone");
  }
  if (row.refused) said.push(`last refused ${row.refused.status} ${row.refused.route} by ${row.refused.caller}, ${moment.format(new Date(row.refused.at * 1000))}`);
  if (said.length) cell.append(element("small", said.join(", ")));
  return cell;
}

function by(column) {
  bill.reversed = column === bill.by ? !bill.reversed : false;
  bill.by = column;
  drawCallers();
}

for (const title of document.querySelectorAll("#callers th")) {
  title.querySelector("button").addEventListener("click", () => by(title.dataset.column));
  const option = document.createElement("option");
  option.value = title.dataset.column;
  option.textContent = title.textContent;
  document.getElementById("callers-by").append(option);
}
for (const [id, member] of [["callers-of", "of"], ["callers-over", "over"], ["callers-by", "by"]]) {
  document.getElementById(id).addEventListener("change", ({ target }) => {
    bill[member] = target.value;
    if (member === "by") bill.reversed = false;
    drawCallers();
  });
}
document.getElementById("callers-find").addEventListener("input", ({ target }) => {
  bill.find = target.value.trim().toLowerCase();
  drawCallers();
});
