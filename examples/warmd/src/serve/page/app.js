// Reads /stats every second and shows it. Text only ever enters the page as text.
"use strict";

const $ = (id) => document.getElementById(id);
let token = sessionStorage.getItem("token");

const mib = (bytes) => `${(bytes / 1048576).toFixed(1)} MiB`;
const seconds = (ms) => (ms < 10000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms / 1000)} s`);

function row(cells, state) {
  const tr = document.createElement("tr");
  if (state) tr.dataset.state = state;
  for (const cell of cells) tr.insertCell().textContent = cell;
  return tr;
}

function meter(id, used, limit, words) {
  $(`${id}-meter`).max = limit;
  $(`${id}-meter`).value = used;
  $(id).textContent = words;
}

function show(stats) {
  const { budget, counts, ledger } = stats;
  $("status").textContent = stats.status;
  $("status").dataset.status = stats.status;
  meter("entries", budget.entries.charged, budget.entries.limit,
    `${budget.entries.charged} of ${budget.entries.limit} backends`);
  meter("bytes", budget.bytes.charged, budget.bytes.limit,
    `${mib(budget.bytes.charged)} of ${mib(budget.bytes.limit)}`);
  const facts = [
    ["loading", counts.loading], ["ready", counts.ready], ["draining", counts.draining],
    ["closing", counts.closing], ["waiting", counts.waiting], ["live", ledger.alive],
    ["most live", ledger.most_alive], ["opened", ledger.opened], ["closed", ledger.closed],
    ["failed loads", ledger.load_failures], ["failed closes", ledger.close_failures],
  ];
  $("facts").replaceChildren(...facts.map(([name, value]) => {
    const pair = document.createElement("div");
    const dt = document.createElement("dt");
    const dd = document.createElement("dd");
    dt.textContent = name;
    dd.textContent = value;
    dd.id = `fact-${name.replace(" ", "-")}`;
    pair.append(dt, dd);
    return pair;
  }));
  $("backends").replaceChildren(...stats.entries.map((entry) => row([
    entry.key, entry.state, entry.leases, entry.waiting, mib(entry.bytes), seconds(entry.for_ms),
  ], entry.state)));
  $("none").hidden = stats.entries.length > 0;
  $("failures").replaceChildren(...stats.failures.map((failure) => row([
    failure.key, failure.attempts, seconds(failure.retry_in_ms), failure.error,
  ])));
  $("no-failures").hidden = stats.failures.length > 0;
  document.querySelector("main").hidden = false;
  $("door").hidden = true;
}

async function look() {
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  try {
    const answer = await fetch("/stats", { headers, signal: AbortSignal.timeout(5000) });
    if (answer.status === 401) {
      $("status").textContent = "a token is needed";
      $("door").hidden = false;
      document.querySelector("main").hidden = true;
      return;
    }
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    show(await answer.json());
  } catch (error) {
    $("status").textContent = `no answer (${error.message})`;
    $("status").dataset.status = "gone";
  }
  setTimeout(look, 1000);
}

$("door").addEventListener("submit", (event) => {
  event.preventDefault();
  token = $("token").value;
  sessionStorage.setItem("token", token);
  look();
});

look();
