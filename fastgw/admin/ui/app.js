// The live view: asks the Admin API every two seconds and shows what came. Owns: the key, which is in this variable and nowhere else.
// All that comes is shown as text, never as markup.
"use strict";

const EVERY_MS = 2000, HISTORY_MS = 10000;
const byId = (id) => document.getElementById(id);
let key = null, before = null, timer = null, historyAt = 0, paused = false, round = 0;

async function ask(place) {
  const answer = await fetch(`/apisix/admin/${place}`, { headers: { "X-API-KEY": key }, cache: "no-store", credentials: "omit" });
  if (answer.status === 401 || answer.status === 403 || answer.status === 429) {
    const said = await answer.json().catch(() => ({}));
    throw Object.assign(new Error(said.description || said.error_msg || `answered ${answer.status}`), { refused: true });
  }
  if (!answer.ok) throw new Error(`${place}: answered ${answer.status}`);
  return answer.json();
}

function forget(why) {
  key = before = null;
  historyAt = 0;
  rest();
  pause(false);
  byId("live").hidden = byId("forget").hidden = byId("pause").hidden = true;
  byId("ask").hidden = false;
  byId("about").textContent = "";
  byId("trouble").textContent = why;
  byId("key").focus();
}

// What is still to be answered is not shown any more.
function rest() {
  clearTimeout(timer);
  round++;
}

function pause(wanted) {
  paused = wanted;
  byId("pause").setAttribute("aria-pressed", String(paused));
}

function number(value) {
  if (value === null || value === undefined) return "–";
  return value < 100 ? (+value).toFixed(value && value < 10 ? 2 : 1).replace(/\.0+$/, "") : Math.round(value).toLocaleString("en");
}

// heads, rows: cells, each a text, or [text, class].
function table(place, heads, rows, none) {
  const holder = byId(place), title = byId(holder.parentElement.getAttribute("aria-labelledby")).textContent;
  if (!rows.length) {
    const empty = document.createElement("p");
    empty.className = "none";
    empty.textContent = none;
    holder.replaceChildren(empty);
    scrolled(holder, title);
    return;
  }
  const made = document.createElement("table");
  made.setAttribute("aria-label", title);
  const head = made.createTHead().insertRow();
  heads.forEach((each, index) => {
    const cell = document.createElement("th");
    cell.scope = "col";
    [cell.textContent, cell.className] = Array.isArray(each) ? each : [each, index === 0 ? "name" : ""];
    head.append(cell);
  });
  const body = made.createTBody();
  for (const row of rows) {
    const line = body.insertRow();
    row.forEach((each, index) => {
      const [text, kind] = Array.isArray(each) ? each : [each, ""];
      const cell = line.insertCell();
      cell.textContent = text;
      cell.className = index === 0 ? `name ${kind}`.trim() : kind;
    });
  }
  holder.replaceChildren(made);
  scrolled(holder, title);
}

// What is wider than its place can be reached and scrolled by keyboard. Nothing changes without need: it may have the focus.
function scrolled(holder, title) {
  const wide = holder.scrollWidth > holder.clientWidth;
  if (wide === holder.hasAttribute("tabindex")) return;
  for (const [name, value] of Object.entries({ tabindex: "0", role: "group", "aria-label": `${title}, to be scrolled` })) {
    if (wide) holder.setAttribute(name, value);
    else holder.removeAttribute(name);
  }
}

function quantile(was, now, share) {
  const known = new Map(was);
  const counts = now.map(([bound, n]) => [bound, n - (known.get(bound) ?? 0)]);
  const wanted = share * counts.reduce((sum, [, n]) => sum + n, 0);
  let seen = 0;
  for (const [bound, n] of counts) {
    seen += n;
    if (n && seen >= wanted) return bound / 1000;
  }
  return null;
}

// Rows of one kind with rates: those that were asked lately first.
function rated(kind, member, was, now, seconds) {
  const known = new Map(was[kind].map((each) => [each[member], each]));
  return now[kind].map((each) => {
    const old = known.get(each[member]) ?? each; // of one that has just come into the list, nobody knows what it had
    const rate = (name) => (each[name] - old[name]) / seconds;
    const count = each.requests - old.requests;
    const mean = (name) => (count ? (each[name] - old[name]) / count / 1000 : null);
    return { name: each[member], total: each.requests, rate, mean };
  }).sort((a, b) => b.rate("requests") - a.rate("requests") || b.total - a.total).slice(0, 20);
}

function show(was, now, limits) {
  const seconds = Math.max(now.time - was.time, 1e-3);
  const rate = (name) => (now.totals[name] - was.totals[name]) / seconds;
  const figures = [
    ["Requests per second", number(rate("requests"))],
    ["p50, ms", number(quantile(was.latency_us, now.latency_us, 0.5))],
    ["p99, ms", number(quantile(was.latency_us, now.latency_us, 0.99))],
    ["4xx per second", number(rate("responses_4xx"))],
    ["5xx per second", number(rate("responses_5xx"))],
    ["Connections", number(now.processes.reduce((sum, each) => sum + each.connections, 0))],
    ["Requests so far", number(now.totals.requests)],
  ];
  byId("figures").replaceChildren(...figures.map(([name, value]) => {
    const group = document.createElement("div");
    const term = document.createElement("dt"), told = document.createElement("dd");
    term.textContent = name;
    told.textContent = value;
    group.append(term, told);
    return group;
  }));
  byId("about").textContent = `revision ${now.revision}, ${now.processes.length} processes`;
  const known = new Map(was.processes.map((each) => [each.pid, each]));
  table("processes", ["Process", "pid", "State", "Requests/s", "4xx/s", "5xx/s", "Connections", "Revision"], now.processes.map((each) => {
    const old = known.get(each.pid) ?? each;
    const per = (name) => number((each[name] - old[name]) / seconds);
    const state = [each.state, each.state === "serving" ? "good" : ""];
    return [each.role, String(each.pid), state, per("requests"), per("responses_4xx"), per("responses_5xx"), String(each.connections), String(each.revision)];
  }), "no process");
  const heads = ["Requests/s", "4xx/s", "5xx/s", "Mean ms", "So far"];
  const cells = (each, mean) => [number(each.rate("requests")), number(each.rate("responses_4xx")), number(each.rate("responses_5xx")), number(each.mean(mean)), number(each.total)];
  for (const [kind, member, mean, none] of [
    ["routes", "route", "request_us", "no route was asked yet"],
    ["consumers", "consumer", "request_us", "no consumer has asked yet"],
    ["nodes", "node", "upstream_us", "no upstream was asked yet"],
  ]) {
    const rows = rated(kind, member, was, now, seconds);
    table(kind, [member[0].toUpperCase() + member.slice(1), ...heads], rows.map((each) => [each.name, ...cells(each, mean)]), none);
  }
  table("upstreams", ["Node", ["Of", "name"], "State"], now.upstreams.map((each) => {
    const well = each.state === "healthy" || each.state === "mostly_healthy";
    return [`${each.ip}:${each.port}`, [each.name, "name"], [each.state.replace("_", " "), well ? "good" : "bad"]];
  }), "no upstream has health checks");
  const refused = Object.entries(now.refused).map(([reason, n]) => [reason, (n - (was.refused[reason] ?? 0)) / seconds, n]);
  refused.sort((a, b) => b[1] - a[1] || b[2] - a[2]);
  table("refused", ["Reason", "Per second", "So far"], refused.slice(0, 20).map(([reason, per, n]) => [reason, number(per), number(n)]), "nothing was refused");
  table("limits", ["Key", ["Of", "name"], "Hits/s", "Refused/s", "Limit", "Left"], limits.list.slice(0, 20).map((each) => [
    each.key ?? "–", [`${each.owner} ${each.plugin}`, "name"], number(each.hits_per_second), number(each.refused_per_second), number(each.limit), number(each.remaining),
  ]), "no limit was asked in the last ten seconds");
}

function draw(history) {
  const end = Date.now() / 1000, points = history.points;
  byId("graphs").replaceChildren(
    graph("Requests", "per second", points, [["all", "requests"], ["4xx", "responses_4xx"], ["5xx", "responses_5xx"]], end),
    graph("Latency", "ms", points, [["p50", "p50_ms"], ["p99", "p99_ms"]], end),
    graph("Connections", "open", points, [["clients", "connections"]], end),
  );
}

async function turn() {
  rest();
  const mine = round;
  try {
    const [now, limits] = await Promise.all([ask("stats"), ask("limits")]);
    if (mine !== round) return;
    byId("trouble").textContent = "";
    const first = byId("live").hidden;
    byId("ask").hidden = true;
    byId("live").hidden = byId("forget").hidden = byId("pause").hidden = false;
    if (first) byId("pause").focus(); // what had the focus is hidden now
    show(before ?? now, now, limits);
    before = now;
    if (Date.now() - historyAt >= HISTORY_MS) {
      const history = await ask("stats/history");
      if (mine !== round) return;
      historyAt = Date.now();
      draw(history);
    }
  } catch (error) {
    if (mine !== round) return;
    if (error.refused) return forget(`The key was refused: ${error.message}`);
    byId("trouble").textContent = `The gateway does not answer: ${error.message}`;
  }
  timer = setTimeout(turn, EVERY_MS);
}

byId("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  key = byId("key").value;
  byId("key").value = "";
  byId("trouble").textContent = "";
  if (/^[\x21-\x7e]+$/.test(key)) turn();
  else forget("The key was refused: one has no blanks, and no letters beyond ASCII");
});
byId("forget").addEventListener("click", () => forget(""));
byId("pause").addEventListener("click", () => {
  pause(!paused);
  if (paused) rest();
  else turn();
});
document.addEventListener("visibilitychange", () => { // a page that nobody sees asks nothing
  if (key === null || paused) return;
  if (document.hidden) rest();
  else turn();
});
byId("key").focus();
