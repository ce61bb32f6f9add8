"use strict";

// Days in the chart.
const DAYS = 60;
const DAY_MS = 86_400_000;
const byId = (id) => document.getElementById(id);
let key = "";

async function get(path) {
  const response = await fetch(path, { headers: { authorization: `Bearer ${key}` }, cache: "no-store" });
  if (!response.ok) {
    const body = await response.json().catch(() => null);
    throw new Error(body?.error?.message ?? `status ${response.status}`);
  }
  return response;
}

// All texts are set as text, never as HTML.
function element(name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}

function facts(account) {
  const lines = [`${account.name} (${account.id}): ${account.balance} credits`];
  lines.push(`at most ${account.rate_per_minute} requests per minute`);
  if (account.tokens_per_minute !== null) {
    lines.push(`at most ${account.tokens_per_minute} tokens per minute`);
  }
  for (const { period, budget, spent } of account.budgets) {
    lines.push(`${spent} of ${budget} credits of the budget for this ${period} are spent`);
  }
  for (const { period, budget, spent } of account.team?.budgets ?? []) {
    lines.push(`team ${account.team.name}: ${spent} of ${budget} credits of the budget for this ${period} are spent`);
  }
  if (account.expires !== null) {
    lines.push(`expires at ${new Date(account.expires * 1_000).toISOString()}`);
  }
  byId("facts").replaceChildren(...lines.map((line) => element("li", line)));
}

function chart(rows) {
  const today = Math.floor(Date.now() / DAY_MS);
  const credits = new Array(DAYS).fill(0);
  for (const row of rows) {
    const place = Date.parse(`${row.day}T00:00:00Z`) / DAY_MS - today + DAYS - 1;
    if (place >= 0 && place < DAYS) {
      credits[place] += row.charged;
    }
  }
  const most = Math.max(...credits, 1);
  const width = 800 / DAYS;
  const bars = credits.map((sum, place) => {
    const bar = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    const height = (200 * sum) / most;
    const sizes = { x: place * width + 1, y: 210 - height, width: width - 2, height: Math.max(height, 1) };
    Object.entries(sizes).forEach(([name, value]) => bar.setAttribute(name, value.toFixed(2)));
    const title = document.createElementNS("http://www.w3.org/2000/svg", "title");
    const day = new Date((today - DAYS + 1 + place) * DAY_MS).toISOString().slice(0, 10);
    title.textContent = `${day}: ${sum} credits`;
    bar.append(title);
    return bar;
  });
  byId("chart").replaceChildren(...bars);
}

function table(rows) {
  const newest = [...rows].reverse();
  byId("rows").replaceChildren(...newest.map((row) => {
    const line = document.createElement("tr");
    const cells = [row.day, row.model, row.requests, row.input_tokens, row.output_tokens, row.charged];
    line.append(...cells.map((cell) => element("td", String(cell))));
    return line;
  }));
}

async function download(path, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await (await get(path)).blob());
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}

// The months since the creation of the key: it can have received credits in months without usage.
function monthsSince(seconds) {
  const [month, now] = [new Date(seconds * 1_000), new Date()];
  month.setUTCDate(1);
  month.setUTCHours(0, 0, 0, 0);
  const months = [];
  for (; month <= now; month.setUTCMonth(month.getUTCMonth() + 1)) {
    months.push(month.toISOString().slice(0, 7));
  }
  return months;
}

function invoices(created, rows) {
  const months = new Set([...monthsSince(created), ...rows.map((row) => row.day.slice(0, 7))]);
  byId("invoices").replaceChildren(...[...months].sort().reverse().map((month) => {
    const line = element("li", `${month} `);
    for (const format of ["json", "csv"]) {
      const button = element("button", format.toUpperCase());
      button.type = "button";
      button.onclick = () => shown(() => download(`/v1/invoices/${month}?format=${format}`, `invoice-${month}.${format}`));
      line.append(button, " ");
    }
    return line;
  }));
}

// Shows the error of an action.
async function shown(action) {
  byId("error").textContent = "";
  try {
    await action();
  } catch (error) {
    byId("error").textContent = error.message;
  }
}

async function show() {
  byId("result").hidden = true;
  const [account, usage] = await Promise.all([get("/v1/key"), get("/v1/usage")]);
  const [limits, rows] = [await account.json(), (await usage.json()).data];
  facts(limits);
  chart(rows);
  table(rows);
  invoices(limits.created, rows);
  byId("result").hidden = false;
}

byId("form").onsubmit = (event) => {
  event.preventDefault();
  key = byId("key").value.trim();
  shown(show);
};
byId("csv").onclick = () => shown(() => download("/v1/usage?format=csv", "usage.csv"));
