// The home of the admin: its charts, and what it says while it refreshes by itself. The refreshing is htmx's.
(() => {
  "use strict";
  const find = (selector, within = document) => within.querySelector(selector);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  let charts = [];

  // The charts. Their figures are those of the tables behind them, their colours those of the page.

  function draw() {
    for (const chart of charts) chart.destroy();
    charts = all("canvas[data-plot]").map(plot);
  }

  function plot(canvas) {
    const rows = all("tbody tr", document.getElementById(canvas.dataset.plot));
    const values = rows.map((row) => Number(row.dataset.value));
    const style = getComputedStyle(canvas);
    const colour = (name) => style.getPropertyValue(name).trim();
    const [bar, line, text] = ["--glance-calm", "--glance-line", "--glance-text"].map((name) => solid(colour(name)));
    const font = { family: getComputedStyle(document.body).fontFamily, size: 11 };
    return new window.Chart(canvas, {
      type: "bar",
      data: {
        labels: rows.map((row) => find("th", row).textContent),
        datasets: [{ data: values, backgroundColor: bar, hoverBackgroundColor: bar, borderRadius: 2, categoryPercentage: 0.9, barPercentage: 0.9 }],
      },
      options: {
        animation: false, responsive: true, maintainAspectRatio: false, interaction: { mode: "index", intersect: false },
        scales: {
          x: { grid: { display: false }, border: { color: line }, ticks: { color: text, font, maxRotation: 0, autoSkipPadding: 20 } },
          y: {
            beginAtZero: true, suggestedMax: 1, border: { display: false }, grid: { color: line, drawTicks: false },
            ticks: { color: text, font, padding: 8, maxTicksLimit: 4, precision: canvas.dataset.unit === "events" ? 0 : undefined },
          },
        },
        plugins: {
          legend: { display: false },
          tooltip: { displayColors: false, callbacks: { label: (item) => `${find("td", rows[item.dataIndex]).textContent} ${canvas.dataset.unit}` } },
        },
      },
    });
  }

  // Chart.js reads colours as RGB; the page's are in other spaces.
  function solid(colour) {
    const pen = document.createElement("canvas").getContext("2d");
    pen.fillStyle = colour;
    pen.fillRect(0, 0, 1, 1);
    const [red, green, blue] = pen.getImageData(0, 0, 1, 1).data;
    return `rgb(${red}, ${green}, ${blue})`;
  }

  // Refreshing: what was open stays open, a new verdict is told to screen readers, and a page that stands still says so

  const isOurs = (event) => ["glance", "glance-charts"].includes(event.detail.target?.id);
  let opened = [];

  function tellStale(why) {
    const note = find("#glance-stale");
    note.textContent = `These figures are of ${find("#glance").dataset.at} UTC and are not refreshed: ${why} It is tried again every 5 seconds.`;
    note.hidden = false;
  }

  document.addEventListener("htmx:beforeSwap", (event) => {
    if (!isOurs(event)) return;
    if (event.detail.xhr.responseURL.includes("/login/")) {
      event.detail.shouldSwap = false;
      location.reload();
    }
    opened = all("details[open]").map((details) => details.id);
  });

  document.addEventListener("htmx:afterSwap", (event) => {
    if (!isOurs(event)) return;
    for (const id of opened) document.getElementById(id)?.setAttribute("open", "");
    if (event.detail.target.id === "glance-charts") return draw();
    find("#glance-stale").hidden = true;
    const status = find("#glance-status");
    const verdict = find("#glance").dataset.verdict;
    if (status.dataset.verdict !== verdict) status.textContent = verdict;
    status.dataset.verdict = verdict;
  });

  document.addEventListener("htmx:responseError", (event) => {
    if (isOurs(event)) tellStale(`the server answered ${event.detail.xhr.status}.`);
  });
  for (const name of ["htmx:sendError", "htmx:timeout"]) {
    document.addEventListener(name, (event) => { if (isOurs(event)) tellStale("the server does not answer."); });
  }

  // What unfold draws without saying so: its main part, and toggles that only a mouse can reach

  const NAMES = { sidebarDesktopOpen: "Navigation", sidebarMobileOpen: "Navigation", openTheme: "Theme" }; // of those that are an icon alone

  function nameParts() {
    all(".simplebar-content-wrapper").forEach((part, index) => part.setAttribute("aria-label", `Scrolled part ${index + 1}`));
    for (const part of all(".select2-selection, .select2-selection__rendered")) {
      const field = part.closest(".select2-container").previousElementSibling;
      part.setAttribute("aria-label", field.labels[0]?.textContent.trim() || field.name);
    }
    (find("#main") || find("#page"))?.setAttribute("role", "main");
    for (const part of all("[x-on\\:click]:not(a[href], button, input, label, summary)")) {
      if (!part.textContent.trim()) continue;
      const name = NAMES[part.getAttribute("x-on:click").split(" ")[0]];
      if (name) part.setAttribute("aria-label", name);
      part.setAttribute("role", "button");
      part.tabIndex = 0;
      part.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        part.click();
      });
    }
  }

  addEventListener("load", nameParts);
  document.addEventListener("DOMContentLoaded", () => {
    const status = find("#glance-status");
    if (!status) return;
    status.dataset.verdict = find("#glance").dataset.verdict;
    draw();
    new MutationObserver(draw).observe(document.documentElement, { attributeFilter: ["class"] });
  });
})();
