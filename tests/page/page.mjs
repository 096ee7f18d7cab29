// The dashboard as a person meets it, in a real browser: no console error, no request to anybody else, charts that are
// drawn, figures that agree with /metrics, forms that work, a bill of fifty callers, and nothing that a checker of accessibility finds serious.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";
import readline from "node:readline";

const [binary, chromium, tools, folder] = process.argv.slice(2);
const require = createRequire(path.resolve(tools, "package.json"));
const { chromium: browsers } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const scratch = mkdtempSync(path.join(tmpdir(), "page-"));
const children = [];
const TOKEN = "the-admin-token-of-this-page";

/** Starts the program and answers with the first line of its output that `wanted` makes something of. */
function start(args, environment, wanted) {
  const child = spawn(binary, args, { env: { ...process.env, ...environment }, stdio: ["ignore", "pipe", "inherit"] });
  children.push(child);
  return new Promise((resolve, reject) => {
    const lines = [];
    child.on("exit", (code) => reject(new Error(`${args} ended with ${code}`)));
    readline.createInterface({ input: child.stdout }).on("line", (line) => {
      if (lines.length < 1000) lines.push(line);
      const found = wanted(line, lines);
      if (found) resolve(found);
    });
  });
}

async function stage(extra) {
  const api = await start(["simulate", "--address", "127.0.0.1:0"], {}, (line, lines) => {
    const url = line.match(/listens on (\S+)/);
    return url && { url: url[1], key: lines.join("\n").match(/(\S+) all:all/)[1], label: lines.join("\n").match(/lead label (\S+)/)[1] };
  });
  const ports = await start([], {
    INSTANTLY_PROXY_UPSTREAM__URL: api.url, INSTANTLY_PROXY_LISTEN__ADDRESS: "127.0.0.1:0", INSTANTLY_PROXY_ADMIN__ADDRESS: "127.0.0.1:0", ...extra,
  }, (line) => {
    const told = JSON.parse(line);
    return told.message === "ready" && { data: `http://${told.data}`, admin: `http://${told.admin}` };
  });
  return { ...api, ...ports };
}

/** Reads labels for as long as the test runs: mostly the same one, now and then another path. */
function load({ data, key, label }) {
  const ended = { value: false };
  const read = (target) => fetch(`${data}/api/v2/${target}`, { headers: { Authorization: `Bearer ${key}` } }).then((answer) => answer.arrayBuffer());
  const done = (async () => {
    for (let n = 0; !ended.value; n += 1) {
      await read(n % 40 === 0 ? "campaigns" : n % 10 === 0 ? "lead-labels?limit=100" : `lead-labels/${label}`);
      if (n % 8 === 0) await new Promise((next) => setTimeout(next, 20));
    }
  })();
  return async () => { ended.value = true; await done; };
}

async function open(browser, admin, { width, height, dark, locale }) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: dark ? "dark" : "light", reducedMotion: "reduce", locale });
  const page = await context.newPage();
  // What the charts write, and where it ends: a canvas keeps no text.
  await page.addInitScript(() => {
    globalThis.written = [];
    const { fillText } = CanvasRenderingContext2D.prototype;
    CanvasRenderingContext2D.prototype.fillText = function (text, x, y, ...rest) {
      const { width } = this.measureText(text);
      const { a, b, e } = this.getTransform();
      const start = { left: 0, start: 0, center: width / 2, right: width, end: width }[this.textAlign];
      // Upright text alone: what stands on its side takes a line's height.
      if (b === 0) globalThis.written.push({ text, from: a * (x - start) + e, to: a * (x - start + width) + e, room: this.canvas.width });
      return fillText.call(this, text, x, y, ...rest);
    };
  });
  const faults = [];
  page.on("console", (message) => { if (["error", "warning"].includes(message.type())) faults.push(message.text()); });
  page.on("pageerror", (error) => faults.push(String(error)));
  page.on("request", (request) => { if (!request.url().startsWith(admin) && !request.url().startsWith("data:")) faults.push(`a request to ${request.url()}`); });
  await page.goto(`${admin}/`);
  return { context, page, faults };
}

async function accessible(page, where) {
  // The page's own policy forbids inline scripts; the checker is brought in by the driver.
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  const serious = violations.filter(({ impact }) => ["serious", "critical"].includes(impact));
  assert.deepEqual(serious.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(" ")}`), [], where);
}

async function metric(admin, name, filter = () => true) {
  const text = await (await fetch(`${admin}/metrics`)).text();
  const lines = text.split("\n").filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `)).filter(filter);
  return lines.reduce((total, line) => total + Number(line.split(" ").at(-1)), 0);
}

async function looks(browser, { admin }) {
  for (const view of [{ width: 1920, height: 1200, dark: false }, { width: 1920, height: 1200, dark: true }, { width: 360, height: 780, dark: false }, { width: 390, height: 844, dark: false }, { width: 390, height: 844, dark: true }]) {
    const where = `${view.width} px ${view.dark ? "dark" : "light"}`;
    const { context, page, faults } = await open(browser, admin, view);
    await page.waitForFunction(() => document.querySelectorAll("canvas").length === 6, null, { timeout: 15000 });
    await page.waitForFunction(() => /%/.test(document.querySelector("#share").textContent));
    const drawn = await page.$$eval("canvas", (all) => all.map((canvas) => {
      const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
      return pixels.some((value) => value !== 0);
    }));
    assert.ok(drawn.every(Boolean), `${where}: an empty chart`);
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.ok(overflow <= 0, `${where}: ${overflow} px wider than the screen`);
    const cut = await page.evaluate(() => [...document.querySelectorAll("main *")].filter((one) => {
      const { right, width } = one.getBoundingClientRect();
      const hides = getComputedStyle(one).overflowX !== "visible" && !one.matches("thead, thead *");
      return width > 0 && !one.closest("thead") && (right > document.documentElement.clientWidth + 0.5 || (hides && one.scrollWidth > one.clientWidth + 1));
    }).map((one) => one.outerHTML.slice(0, 80)));
    assert.deepEqual(cut, [], `${where}: cut off`);
    const beyond = await page.evaluate(() => globalThis.written.filter(({ from, to, room }) => from < -1 || to > room + 1).map(({ text }) => text));
    assert.deepEqual([...new Set(beyond)], [], `${where}: cut off in a chart`);
    const times = await page.evaluate(() => globalThis.written.filter(({ text }) => text.includes(":")).map(({ text }) => text));
    assert.ok(times.length > 6 && new Set(times).size > 1, `${where}: one time at every tick: ${times.slice(0, 4)}`);
    const labels = await page.$$eval("[role=img]", (all) => all.map((chart) => chart.getAttribute("aria-label")));
    assert.ok(labels.every((label) => label.includes("Latest:")), `${where}: ${labels}`);
    await accessible(page, where);
    await page.screenshot({ path: path.join(folder, `dashboard-${view.width}-${view.dark ? "dark" : "light"}.png`), fullPage: view.width < 400 });
    assert.deepEqual(faults, [], where);
    await context.close();
  }
}

async function works(browser, { admin, key, label }) {
  const { context, page, faults } = await open(browser, admin, { width: 1280, height: 900, dark: false });
  await page.waitForFunction(() => /%/.test(document.querySelector("#share").textContent));
  const share = Number((await page.textContent("#share")).replace(/[^0-9.]/g, ""));
  const hits = await metric(admin, "instantly_proxy_requests_total", (line) => /outcome="(hit|stale)"/.test(line));
  const reads = await metric(admin, "instantly_proxy_requests_total", (line) => /route="lead_label(_list)?"/.test(line));
  assert.ok(Math.abs(share - (100 * hits) / reads) <= 1, `the page says ${share} %, the metrics ${(100 * hits) / reads} %`);

  await page.fill("#explain-path", `/api/v2/lead-labels/${label}`);
  await page.fill("#explain-token", key);
  await page.click("#explain button");
  await page.waitForSelector("#explain-told td");
  assert.match(await page.textContent("#explain-told"), /decision\s*hit/);
  assert.ok(!(await page.content()).includes(key), "the page shows a key");

  await page.fill("#purge-label", "not a uuid");
  await page.click("#purge-ask");
  await page.click("#purge-sure");
  await page.waitForFunction(() => /UUID/i.test(document.querySelector("#purge-told").textContent));
  await page.fill("#purge-label", "");
  await page.focus("#purge-ask");
  await page.keyboard.press("Enter");
  await page.waitForSelector("#purge-sure:not([hidden])");
  assert.equal(await page.evaluate(() => document.activeElement.id), "purge-sure", "the keyboard is where the question is");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => /^Gone: /.test(document.querySelector("#purge-told").textContent));
  assert.ok((await metric(admin, "instantly_proxy_cache_invalidations_total", (line) => line.includes('cause="purge"'))) >= 1);
  // The browser itself tells of the 400 that was wanted.
  assert.deepEqual(faults.filter((fault) => !fault.includes("status of 400")), []);
  await context.close();
}

/** A process that has just started has missed what it was asked: that is no fault of its. */
async function isFresh(browser, { admin, data, key, label }) {
  const { context, page } = await open(browser, admin, { width: 390, height: 844, dark: false });
  await page.waitForFunction(() => /No lead labels/.test(document.querySelector("#verdict").textContent));
  await fetch(`${data}/api/v2/lead-labels/${label}`, { headers: { Authorization: `Bearer ${key}` } });
  await page.reload();
  await page.waitForFunction(() => /of the first 1 /.test(document.querySelector("#verdict").textContent));
  assert.equal(await page.textContent("#share"), "–");
  assert.equal(await page.getAttribute("#share", "data-state"), "unknown");
  await page.screenshot({ path: path.join(folder, "dashboard-fresh.png") });
  await context.close();
}

/** A row for each resource that is kept, on a narrow screen and on a wide one. */
async function tellsResourcesApart(browser, { admin, data, key, label }) {
  const ask = (path) => fetch(`${data}/api/v2/${path}`, { headers: { Authorization: `Bearer ${key}` } }).then((answer) => answer.arrayBuffer());
  for (const path of ["custom-tags", "custom-tags", "custom-tags", "custom-tags", `lead-labels/${label}`]) await ask(path);
  for (const width of [390, 1440]) {
    const { context, page, faults } = await open(browser, admin, { width, height: 900, dark: false });
    await page.waitForSelector("#resources:not([hidden])");
    const cells = await page.$$eval("#resources-rows tr", (rows) => rows.map((row) => [...row.cells].map((cell) => cell.textContent)));
    assert.deepEqual(cells.map(([name]) => name), ["lead_label", "custom_tag"], `${width} px`);
    assert.deepEqual(cells[1].slice(1), ["4", "75 %", "3", "0"], `${width} px`);
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.ok(overflow <= 0, `${overflow} px wider than the screen`);
    await accessible(page, `resources at ${width} px`);
    assert.deepEqual(faults, [], `${width} px`);
    await context.close();
  }
}

/** Times and days as the viewer writes them. */
async function speaksTheViewersDates(browser, { admin, data }) {
  await fetch(`${data}/api/v2//lead-labels`);
  for (const [locale, day, time] of [["de-DE", /^\d{2}\.\d{2}\.\d{2}, \d{2}:\d{2}:\d{2}$/, /^\d{2}:\d{2}(:\d{2})?$/], ["en-US", /^\d+\/\d+\/\d{2}, \d+:\d{2}:\d{2}\s[AP]M$/, /^\d{2}:\d{2}(:\d{2})?\s[AP]M$/]]) {
    const { context, page } = await open(browser, admin, { width: 390, height: 844, dark: false, locale });
    await page.waitForSelector("#errors td.mono");
    assert.match(await page.textContent("#errors td:nth-child(3)"), day, locale);
    await page.waitForFunction(() => globalThis.written.some(({ text }) => text.includes(":")));
    const times = await page.evaluate(() => globalThis.written.filter(({ text }) => text.includes(":")).map(({ text }) => text));
    assert.ok(times.every((text) => time.test(text)), `${locale}: ${times.slice(0, 5)}`);
    await context.close();
  }
}

/** Fifty services on one key, each busier than the one before, and a key that the API refuses. */
async function fiftyCallers({ data, key, label }) {
  const ask = (path, name, token) => fetch(`${data}/api/v2/${path}`, { headers: { Authorization: `Bearer ${token}`, "x-caller": name } }).then((answer) => answer.arrayBuffer());
  for (let n = 1; n <= 49; n += 1) {
    const name = `service-${String(n).padStart(2, "0")}`;
    await Promise.all(Array.from({ length: n }, () => ask(`lead-labels/${label}`, name, key)));
    if (n % 7 === 0) await ask("lead-labels?search=x", name, key);
  }
  await ask(`lead-labels/${label}`, "spiffe://cluster.local/ns/production/sa/a-service-of-name", key);
  await ask("campaigns", "service-07", "a-key-that-is-dead");
}

/** The bill of fifty callers and of their keys, on a narrow screen and on a wide one. */
async function readsTheBill(browser, { admin }) {
  for (const width of [390, 1440]) {
    const { context, page, faults } = await open(browser, admin, { width, height: 900, dark: false });
    await page.waitForSelector("#callers:not([hidden])");
    await page.selectOption("#callers-over", "total");
    const names = () => page.$$eval("#callers-rows td.name", (all) => all.map((cell) => cell.firstChild.textContent));
    assert.equal((await names()).length, 51, `${width} px: fifty, and the others`);
    assert.equal((await names())[0], "service-49", `${width} px: the busiest first`);
    if (width > 700) {
      await page.click("#callers th[data-column=name] button");
      assert.equal((await names())[1], "service-01");
      assert.equal(await page.getAttribute("#callers th[data-column=name]", "aria-sort"), "ascending");
      await page.click("#callers th[data-column=name] button");
      assert.equal(await page.getAttribute("#callers th[data-column=name]", "aria-sort"), "descending");
      await page.click("#callers th[data-column=requests] button");
    } else {
      await page.selectOption("#callers-by", "name");
      assert.equal((await names())[1], "service-01");
      await page.selectOption("#callers-by", "requests");
    }
    await page.fill("#callers-find", "SERVICE-1");
    assert.equal((await names()).length, 10);
    await page.fill("#callers-find", "");
    const { requests, all } = await page.evaluate(async () => {
      const { callers, requests } = await (await fetch("api/status")).json();
      return { requests: callers.callers.reduce((total, row) => total + row.total.requests, 0), all: Object.values(requests).reduce((total, count) => total + count, 0) };
    });
    assert.equal(requests, all, "the sum over all callers");
    const cut = await page.evaluate(() => [...document.querySelectorAll("#callers *")].filter((one) => {
      const { right, width } = one.getBoundingClientRect();
      return width > 0 && !one.closest("thead") && right > document.documentElement.clientWidth + 0.5;
    }).map((one) => one.outerHTML.slice(0, 80)));
    assert.deepEqual(cut, [], `${width} px: cut off`);
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.ok(overflow <= 0, `${width} px: ${overflow} px wider than the screen`);
    await accessible(page, `the bill at ${width} px`);
    const section = await page.$eval("#callers", (one) => ({ y: one.getBoundingClientRect().y + scrollY, height: one.getBoundingClientRect().height }));
    await page.screenshot({ path: path.join(folder, `callers-${width}.png`), fullPage: true, clip: { x: 0, y: section.y - 12, width, height: Math.min(section.height + 24, 1000) } });
    await page.selectOption("#callers-of", "credentials");
    const keys = (await names()).filter((name) => /^~[0-9a-z]{10}$/.test(name));
    assert.equal(keys.length, 2, `${width} px: ${keys}`);
    assert.match(await page.textContent("#callers-rows"), /last refused 401 GET \/api\/v2\/campaigns by service-07/);
    assert.ok(!(await page.content()).includes("a-key-that-is-dead"), "the page shows a key");
    assert.deepEqual(faults, [], `${width} px`);
    await context.close();
  }
}

async function asksForTheToken(browser, { admin }) {
  const { context, page } = await open(browser, admin, { width: 1280, height: 900, dark: false });
  await page.waitForSelector("#unlock:not([hidden])");
  await accessible(page, "locked");
  assert.ok(await page.isHidden("#figures"));
  await page.fill("#token", "a-token-that-is-wrong");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.querySelector("#refused").textContent !== "");
  assert.ok((await metric(admin, "instantly_proxy_admin_requests_total", (line) => line.includes('path="/api/status"') && line.includes('status="4xx"'))) >= 2, "a refusal is counted");
  await page.fill("#token", TOKEN);
  await page.keyboard.press("Enter");
  await page.waitForSelector("#figures:not([hidden])");
  assert.equal(await page.evaluate(() => JSON.stringify([localStorage.length, sessionStorage.length, document.cookie])), '[0,0,""]', "the token is kept nowhere");
  await page.click("#purge-ask");
  await page.click("#purge-sure");
  await page.waitForFunction(() => /^Gone: /.test(document.querySelector("#purge-told").textContent));
  await context.close();
}

try {
  const tokenFile = path.join(scratch, "token");
  writeFileSync(tokenFile, TOKEN);
  const [free, fresh, locked, billed, mixed] = await Promise.all([
    stage({}), stage({}), stage({ INSTANTLY_PROXY_ADMIN__TOKEN_FILE: tokenFile }),
    stage({ INSTANTLY_PROXY_CALLERS__SOURCES: "field, credential", INSTANTLY_PROXY_CALLERS__TRUSTED: "127.0.0.0/8" }),
    stage({ INSTANTLY_PROXY_CACHE__CUSTOM_TAGS__ENABLED: "true" }),
  ]);
  const stop = load(free);
  const browser = await browsers.launch({
    executablePath: chromium,
    args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
  // Two steps of the history, so that there is a line to draw.
  await new Promise((next) => setTimeout(next, 32000));
  await looks(browser, free);
  await works(browser, free);
  await isFresh(browser, fresh);
  assert.ok(await (async () => { const { context, page } = await open(browser, free.admin, { width: 1280, height: 900, dark: false }); await page.waitForFunction(() => /%/.test(document.querySelector("#share").textContent)); const hidden = await page.isHidden("#resources"); await context.close(); return hidden; })(), "one resource needs no table");
  await tellsResourcesApart(browser, mixed);
  await speaksTheViewersDates(browser, free);
  await asksForTheToken(browser, locked);
  await fiftyCallers(billed);
  await readsTheBill(browser, billed);
  await browser.close();
  await stop();
  console.log("the page works at 360, 390, 1440 and 1920 px, light and dark, with and without a token, with 50 callers");
} finally {
  for (const child of children) { child.removeAllListeners("exit"); child.kill("SIGKILL"); }
  rmSync(scratch, { recursive: true, force: true });
}
