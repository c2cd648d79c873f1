// The panel's own behaviour: themes, menus, the chart, the beat of the live badge. Everything else is links and htmx.
(() => {
  "use strict";
  const BEAT_MS = 5000;
  const root = document.documentElement;
  const find = (selector, within = document) => within.querySelector(selector);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  // Theme: light, dark, or the system's

  function storedTheme() {
    try { return localStorage.getItem("affluence-theme") || "system"; } catch { return "system"; }
  }

  function chooseTheme(theme) {
    if (theme === "system") delete root.dataset.theme; else root.dataset.theme = theme;
    try { localStorage.setItem("affluence-theme", theme); } catch { /* kept for this page only */ }
    drawCharts();
  }

  function showTheme() {
    const input = find(`[data-themes] input[value="${storedTheme()}"]`);
    if (input) input.checked = true;
  }

  // Tabs: where they do not fit beside each other, the current one is seen

  function showTab() {
    const tab = find(".tabs [aria-current]");
    if (tab) tab.parentElement.scrollLeft = tab.offsetLeft - (tab.parentElement.clientWidth - tab.offsetWidth) / 2;
  }

  // Menus: one open at a time; Escape and a click outside close it

  const openMenus = () => all("details.menu[open], details.definition[open]");

  function closeMenus(except) {
    for (const menu of openMenus()) if (menu !== except && !menu.contains(except)) menu.open = false;
  }

  document.addEventListener("click", (event) => closeMenus(event.target.closest("details.menu, details.definition")));
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of openMenus()) {
      menu.open = false;
      if (menu.contains(document.activeElement)) find("summary", menu).focus();
    }
  });
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-themes] input")) chooseTheme(event.target.value);
  });

  // Charts. Their figures are those of the table behind them, their colours those of their legends.

  const charts = new Map(); // by [data-chart]

  const figure = {
    count: (value) => Math.round(value * 100) / 100,
    milliseconds: (value) => clock(value),
    ratio: (value) => value,
    percent: (value) => `${Math.round(value * 1000) / 10}%`,
  };

  function clock(milliseconds) {
    const seconds = Math.round(milliseconds / 1000);
    const parts = [Math.floor(seconds / 60) % 60, seconds % 60].map((part) => String(part).padStart(2, "0"));
    const hours = Math.floor(seconds / 3600);
    return hours ? `${hours}:${parts.join(":")}` : parts.join(":").replace(/^0/, "");
  }

  function axisText(kind, value) {
    if (kind !== "count") return figure[kind](value);
    if (!Number.isInteger(value)) return "";
    return new Intl.NumberFormat(root.lang, { notation: value >= 10000 ? "compact" : "standard" }).format(value);
  }

  // Steps of an axis of durations that a clock has too; the other axes find their own.
  function axisStep(kind, values) {
    if (kind !== "milliseconds") return undefined;
    const top = Math.max(...values);
    return [1, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600].map((step) => step * 1000).find((step) => top / step <= 5);
  }

  function colours(card) {
    const probe = (selector, side) => {
      const key = find(selector, card);
      return key ? getComputedStyle(key, side).borderTopColor : "transparent";
    };
    return {
      now: probe(".key-now", "::before"),
      before: probe(".key-before", "::before"),
      text: getComputedStyle(find(".legend", card)).color,
      line: getComputedStyle(card.closest(".card")).borderTopColor,
      ground: getComputedStyle(card.closest(".card")).backgroundColor,
      note: find(".note-mark", card) ? getComputedStyle(find(".note-mark", card)).backgroundColor : "transparent",
    };
  }

  function withAlpha(colour, alpha) {
    const numbers = colour.match(/[\d.]+/g);
    return numbers ? `rgba(${numbers.slice(0, 3).join(", ")}, ${alpha})` : colour;
  }

  // Notes on dates: a mark on the axis and a line up from it; the words are in the tooltip, the list and the table.
  const notesOf = (row) => (row.dataset.notes ? row.dataset.notes.split("\n") : []);

  function noteMarks(rows, colour) {
    return {
      id: "notes",
      afterDatasetsDraw({ ctx, chartArea, scales }) {
        ctx.save();
        ctx.strokeStyle = ctx.fillStyle = colour.note;
        ctx.setLineDash([2, 4]);
        rows.forEach((row, index) => {
          if (!notesOf(row).length) return;
          const x = scales.x.getPixelForValue(index);
          ctx.beginPath();
          ctx.moveTo(x, chartArea.top);
          ctx.lineTo(x, chartArea.bottom);
          ctx.stroke();
          ctx.beginPath();
          for (const [across, down] of [[0, -6], [5, -1], [0, 4], [-5, -1]]) ctx.lineTo(x + across, chartArea.bottom + down);
          ctx.fill();
        });
        ctx.restore();
      },
    };
  }

  function drawCharts() {
    for (const chart of charts.values()) chart.destroy();
    charts.clear();
    if (window.Chart) for (const card of all("[data-chart]")) charts.set(card, drawn(card));
  }

  const number = (text) => (text === "" ? null : Number(text));

  // The numbers and cells of one key of a legend: of the column that it names, else of the rows themselves.
  function seriesOf(key, rows, index) {
    const column = key.dataset.column;
    const cells = rows.map((row) => (column ? find(`[data-column="${column}"]`, row) : all("td", row)[index]));
    const name = index ? "previous" : "value";
    return { label: key.textContent, cells, data: column ? cells.map((cell) => number(cell.dataset.value)) : rows.map((row) => number(row.dataset[name])) };
  }

  // What a line of the chart looks like: the first with its area, dots where it is short, dashes where it still runs.
  function lines(series, rows, colour) {
    const values = series[0].data;
    const running = rows.findIndex((row) => row.dataset.phase === "running");
    const isKnown = (index) => values[index] !== null && values[index] !== undefined;
    const isFew = values.filter((value) => value !== null).length < 3;
    const isDot = (index) => isFew || index === running || (!isKnown(index - 1) && !isKnown(index + 1));
    const area = (context) => {
      const { ctx, chartArea } = context.chart;
      if (!chartArea) return "transparent";
      const fill = ctx.createLinearGradient(0, chartArea.top, 0, chartArea.bottom);
      fill.addColorStop(0, withAlpha(colour.now, 0.2));
      fill.addColorStop(1, withAlpha(colour.now, 0.01));
      return fill;
    };
    const line = {
      borderWidth: 2, pointRadius: 0, pointHoverRadius: 5, pointHoverBorderWidth: 2, pointHoverBorderColor: colour.ground,
      cubicInterpolationMode: "monotone", borderCapStyle: "round", borderJoinStyle: "round",
    };
    const styles = [{
      borderColor: colour.now, backgroundColor: area, fill: true,
      pointHoverBackgroundColor: colour.now, pointBackgroundColor: colour.now,
      pointRadius: (context) => (isDot(context.dataIndex) ? 3.5 : 0),
      segment: { borderDash: (context) => (running >= 0 && context.p1DataIndex === running ? [3, 5] : undefined) },
    }, {
      borderColor: colour.before, borderWidth: 1.5, borderDash: [5, 5], pointHoverBackgroundColor: colour.before, pointRadius: isFew ? 3 : 0,
    }];
    return series.map(({ label, data }, index) => ({ ...line, label, data, ...styles[index] }));
  }

  function bars(series, colour) {
    const colours = [colour.now, withAlpha(colour.before, 0.55)];
    return series.map(({ label, data }, index) => ({ label, data, backgroundColor: colours[index], borderRadius: 2, categoryPercentage: 0.86, barPercentage: 0.95 }));
  }

  function drawn(card) {
    const rows = all("tbody tr", card.dataset.table ? document.getElementById(card.dataset.table) : find("[data-series]", card));
    const kind = card.dataset.chart;
    const colour = colours(card);
    const series = all(".key-now, .key-before", card).map((key, index) => seriesOf(key, rows, index));
    const type = card.dataset.form === "bars" ? "bar" : "line";
    const datasets = type === "bar" ? bars(series, colour) : lines(series, rows, colour);
    const font = { family: getComputedStyle(document.body).fontFamily, size: 12 };
    return new window.Chart(find("canvas", card), {
      type,
      data: { labels: rows.map((row) => row.dataset.tick), datasets },
      plugins: [noteMarks(rows, colour)],
      options: {
        animation: false, responsive: true, maintainAspectRatio: false, interaction: { mode: "index", intersect: false },
        layout: { padding: { top: 6, right: 6 } },
        scales: {
          x: { grid: { display: false }, border: { color: colour.line }, ticks: { color: colour.text, font, maxRotation: 0, autoSkipPadding: 28 } },
          y: {
            beginAtZero: true, border: { display: false }, grid: { color: colour.line, drawTicks: false },
            ticks: { color: colour.text, font, padding: 10, maxTicksLimit: 6, stepSize: axisStep(kind, datasets.flatMap((set) => set.data)), callback: (value) => axisText(kind, value) },
          },
        },
        plugins: {
          legend: { display: false },
          tooltip: {
            backgroundColor: colour.text === "" ? undefined : "#10181c", titleColor: "#fff", bodyColor: "#d9e2e6", padding: 12, cornerRadius: 8,
            titleFont: { ...font, weight: "600" }, bodyFont: font, footerFont: font, footerColor: "#ecc46f", boxWidth: 8, boxHeight: 8, usePointStyle: true, caretSize: 0,
            callbacks: {
              title: (items) => (find(".bucket", rows[items[0].dataIndex]) || find("th", rows[items[0].dataIndex])).textContent.trim(),
              footer: (items) => notesOf(rows[items[0].dataIndex]),
              label: (item) => ` ${item.dataset.label}: ${series[item.datasetIndex].cells[item.dataIndex].textContent}`,
            },
          },
        },
      },
    });
  }

  // Zoom: a drag across the chart shows the buckets that it touches; the table behind it leads to each by keyboard

  const DRAG_AT_LEAST = 8; // pixels

  document.addEventListener("pointerdown", (down) => {
    const card = down.target.closest("[data-zoom]");
    const chart = charts.get(card);
    if (!chart || down.target !== chart.canvas || down.pointerType === "touch" || down.button !== 0) return;
    const { left, right } = chart.chartArea;
    const within = (event) => Math.min(Math.max(event.clientX - chart.canvas.getBoundingClientRect().left, left), right);
    const start = within(down);
    const band = document.createElement("div");
    band.className = "zoom-band";
    const move = (event) => {
      const ends = [start, within(event)].sort((one, other) => one - other);
      band.style.left = `${ends[0]}px`;
      band.style.width = `${ends[1] - ends[0]}px`;
      if (!band.isConnected && ends[1] - ends[0] >= DRAG_AT_LEAST) chart.canvas.parentElement.append(band);
    };
    const stop = (event) => {
      removeEventListener("pointermove", move);
      removeEventListener("pointerup", stop);
      removeEventListener("pointercancel", stop);
      band.remove();
      if (event.type === "pointerup" && Math.abs(within(event) - start) >= DRAG_AT_LEAST) zoom(card, chart, [start, within(event)]);
    };
    addEventListener("pointermove", move);
    addEventListener("pointerup", stop);
    addEventListener("pointercancel", stop);
    down.preventDefault();
  });

  function zoom(card, chart, pixels) {
    const rows = all("[data-series] tbody tr", card);
    const [first, last] = pixels.map((pixel) => Math.round(chart.scales.x.getValueForPixel(pixel))).sort((one, other) => one - other);
    const query = new URLSearchParams(card.dataset.zoom);
    query.set("from", rows[Math.max(first, 0)].dataset.start);
    query.set("to", rows[Math.min(last, rows.length - 1)].dataset.end);
    const link = document.createElement("a");
    link.href = `?${query}`;
    card.append(link);
    window.htmx.process(link);
    link.click();
  }

  // News: where events came since the page was drawn, its numbers are read again, but not from under the reader's hand

  let isKeptBack = false; // a part of the page is older than its version

  document.addEventListener("htmx:afterSwap", (event) => {
    const told = event.target.matches(".live-count") && find("[data-version]", event.target);
    const news = find("#news");
    if (!told || !news || (news.dataset.version === told.dataset.version && !isKeptBack)) return;
    isKeptBack = false;
    window.htmx.trigger(news, "affluence:news");
  });

  document.addEventListener("htmx:oobBeforeSwap", (event) => {
    const part = event.target;
    if (!find("details[open], canvas:hover, .zoom-band", part)) return;
    event.detail.shouldSwap = false;
    isKeptBack = true;
  });

  document.addEventListener("htmx:oobAfterSwap", (event) => {
    if (event.detail.target.id === "chart") drawCharts();
  });

  // htmx: after a swap draw again, keep the keyboard where it was, tell it to screen readers; a broken card can be retried

  let focused = null;

  document.addEventListener("htmx:beforeRequest", (event) => {
    const menu = event.target.closest("details.menu");
    focused = menu ? find("summary", menu).id : event.target.id;
  });

  document.addEventListener("htmx:afterSettle", (event) => {
    const isPage = event.target.id === "page" || event.target === document.body;
    if (!isPage) return;
    showTheme();
    showTab();
    drawCharts();
    const target = (focused && document.getElementById(focused)) || find("#content");
    if (target && document.activeElement === document.body) target.focus({ preventScroll: true });
    const summary = find("[data-summary]");
    const status = find("#status");
    if (summary && status) status.textContent = summary.textContent;
  });

  for (const name of ["htmx:responseError", "htmx:sendError", "htmx:timeout"]) {
    document.addEventListener(name, (event) => {
      const card = event.target.closest("[data-fragment]");
      if (!card || !find(".skeleton, .retry", card)) return;
      const words = find("#status").dataset;
      const note = document.createElement("p");
      const button = document.createElement("button");
      note.className = "blank retry";
      note.append(`${words.broken} `, button);
      button.className = "button";
      button.textContent = words.retry;
      button.addEventListener("click", () => window.htmx.trigger(card, "affluence:retry"));
      (find(".skeleton, .retry", card)).replaceWith(note);
    });
  }

  // Keys: one letter each, where no field is being written in

  const PERIOD_OF_KEY = { d: "today", w: "7d", m: "30d", y: "12mo" };

  function press(key) {
    if (key === "?") { find("#shortcuts").showModal(); return true; }
    const period = PERIOD_OF_KEY[key];
    const target = period ? find(`.period-panel a[href*="period=${period}"]`) : find(`[data-key="${CSS.escape(key)}"]`);
    if (!target) return false;
    target.click();
    if (target.tagName === "SUMMARY" && target.parentElement.open) find(".menu-panel a, .menu-panel button", target.parentElement)?.focus();
    return true;
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || !find("#shortcuts")) return;
    if (event.target.closest("input, textarea, select, dialog[open]") || event.key.length !== 1) return;
    if (press(event.key)) event.preventDefault();
  });

  // A button copies the text of the element that it names; where the browser forbids it, the text is selected instead.

  document.addEventListener("click", async ({ target }) => {
    const button = target.closest("[data-copy]");
    if (!button) return;
    const source = document.getElementById(button.dataset.copy);
    const words = find("#status").dataset;
    let told = words.copied;
    try {
      await navigator.clipboard.writeText(source.value ?? source.textContent);
    } catch {
      if (source.select) source.select(); else getSelection().selectAllChildren(source);
      told = words.selected;
    }
    button.textContent = told;
    find("#status").textContent = told;
  });

  // The chart as a picture, on the colour of its card

  document.addEventListener("click", ({ target }) => {
    const button = target.closest("[data-png]");
    const chart = button && charts.get(button.closest("[data-chart]"));
    if (chart) save(`${button.dataset.png}.png`, picture(chart));
  });

  function picture(chart) {
    const copy = document.createElement("canvas");
    [copy.width, copy.height] = [chart.canvas.width, chart.canvas.height];
    const context = copy.getContext("2d");
    context.fillStyle = getComputedStyle(chart.canvas.closest(".card")).backgroundColor;
    context.fillRect(0, 0, copy.width, copy.height);
    context.drawImage(chart.canvas, 0, 0);
    return copy;
  }

  function save(name, canvas) {
    canvas.toBlob((blob) => {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(blob);
      link.download = name;
      link.click();
      URL.revokeObjectURL(link.href);
    });
  }

  // The beat: what refreshes by itself does so while the tab is seen

  setInterval(() => {
    if (document.visibilityState === "visible" && window.htmx) window.htmx.trigger(document.body, "affluence:tick");
  }, BEAT_MS);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawCharts);
  showTheme();
  showTab();
  drawCharts();
})();
