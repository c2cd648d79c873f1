// The tracker: tells the collector what readers do. Guide: docs/tracker.md. Why it is as it is: docs/decisions/010-tracker.md.
// It is served without comments and indentation (events/served.py), so a statement never relies on either.
(() => {
  "use strict";
  const script = document.currentScript;
  const data = script.dataset;
  const api = data.api || new URL("/api/events", script.src);
  const stub = window.affluence || {};
  if (stub.view && !stub.q) return; // the script is on the page twice

  const off = navigator.globalPrivacyControl || navigator.doNotTrack == 1;
  const SECOND = 1000;
  const MINUTE = 60 * SECOND;
  const HOUR = 60 * MINUTE;

  // Storage. Where there is none, or it is full or forbidden, the memory of this page serves.

  const memory = {};

  function storageOf(name) {
    try {
      if (data.storage != "none") return window[name] || memory;
    } catch {} // forbidden by the browser
    return memory;
  }

  const local = storageOf("localStorage");
  const session = storageOf("sessionStorage");
  const VISITOR = "affluence-visitor";
  const VISIT = "affluence-visit";
  const PAUSE = "affluence-pause";
  const QUEUE = "affluence-queue " + api + " ";

  const kept = (key, store = local) => (key in memory ? memory[key] : store[key]);

  function keep(key, text, store = local) {
    delete memory[key];
    try {
      store[key] = text;
    } catch {
      memory[key] = text;
    }
  }

  const timeOf = (ms) => ms.toString(16).padStart(12, "0");

  function drop(key) {
    delete memory[key];
    delete local[key];
  }

  const random = (digits) =>
    [...crypto.getRandomValues(new Uint8Array(digits))].map((byte) => (byte % 16).toString(16)).join("");

  // The visit: how the reader came here, and what was read before.

  let visit = {};
  try {
    visit = JSON.parse(kept(VISIT, session));
  } catch {} // the first page of this tab
  if (!(Date.now() - visit.at < HOUR / 2)) visit = {};
  const query = new URLSearchParams(location.search);
  const origin = {
    via: query.get("afv"),
    intermediary: query.get("afi"),
    source: query.get("utm_source") || query.get("source") || query.get("ref"),
    referrer: document.referrer.split("/")[2] == location.host ? "" : document.referrer,
  };
  if (Object.values(origin).some(Boolean)) visit.origin = origin;

  // The queue: an entry of storage for each event that no answer 202 has confirmed. Keys hold the time, so they sort by it.

  const sending = new Set();
  let most = 100;
  let failures = 0;
  let isLeft = false; // then a request that breaks off says nothing of the network
  let timer;

  function queued() {
    const oldest = QUEUE + timeOf(Date.now() - 48 * HOUR);
    const keys = Object.keys({ ...memory, ...local }).filter((key) => key.startsWith(QUEUE)).sort();
    const isStale = (key, index) => key < oldest || index < keys.length - 500;
    keys.filter(isStale).forEach(drop);
    return keys.filter((key, index) => !isStale(key, index) && !sending.has(key));
  }

  // The oldest events that fit in a request that may outlive the page (64 kB, at most 3 bytes a character), at least one.
  function batch() {
    if (!navigator.onLine || pause()) return [[]];
    const keys = queued().slice(0, most);
    let size = 0;
    const fit = keys.filter((key, index) => (size += kept(key).length) < 20000 || !index);
    return [fit, '{"events":[' + fit.map((key) => kept(key)) + "]}"];
  }

  // How long all tabs leave the collector alone. More than an hour was said by a clock that has been set back since.
  function pause() {
    const ms = kept(PAUSE) - Date.now();
    return ms > 0 && ms < HOUR ? ms : 0;
  }

  function later(ms) {
    clearTimeout(timer);
    timer = setTimeout(flush, ms);
  }

  async function post() {
    const [keys, body] = batch();
    if (!keys.length) return pause() && later(pause());
    let status, wait;
    keys.forEach((key) => sending.add(key));
    try {
      const answer = await fetch(api, {
        method: "POST",
        body,
        keepalive: body.length < 21000,
        signal: AbortSignal.timeout && AbortSignal.timeout(30 * SECOND),
      });
      status = answer.status;
      wait = answer.headers.get("Retry-After");
    } catch {} // no network: status stays undefined
    keys.forEach((key) => sending.delete(key));
    if (status == 202) {
      keys.forEach(drop);
      most = 100;
      failures = 0;
    } else if (status == 400 || status == 413) {
      if (keys.length > 1) most = keys.length >> 1;
      else keys.forEach(drop);
    } else if (!isLeft) {
      const longer = Math.max(Math.min(wait * SECOND || 0, HOUR / 2), Math.min(2 ** failures++ * SECOND, 5 * MINUTE));
      keep(PAUSE, Date.now() + longer * (1 + Math.random() / 2));
    }
    if (queued().length) later(pause());
  }

  // One tab at a time, where the browser can tell (a sandboxed frame may not ask). The next one waits: what a tab drops is seen by others a little later.
  const flush = () =>
    navigator.locks
      ? navigator.locks.request(QUEUE, { ifAvailable: true }, (lock) => (lock ? post() : later(SECOND))).catch(post)
      : post();

  // Events

  let stamp = 0;
  let sentAt = 0;
  let media, page, token;

  function send(action, fields) {
    if (off) return;
    stamp = Math.max(Date.now(), stamp + 1);
    const event = {
      id: timeOf(stamp) + random(20),
      hub: data.hub,
      action,
      occurred_at: new Date().toISOString(),
      visitor: kept(VISITOR),
      media,
      page,
      ...visit.origin,
      ...fields,
    };
    for (const name in event) {
      if (event[name] == null || event[name] === "") delete event[name];
      else if (!/page|duration|properties/.test(name))
        event[name] = String(event[name])
          .slice(0, /^media|title|target|previous|referrer/.test(name) ? 2000 : 128)
          .replace(/[\p{Cc}\p{Cs}]/gu, " ");
    }
    keep(QUEUE + event.id, JSON.stringify(event));
    visit.at = Date.parse(event.occurred_at);
    keep(VISIT, JSON.stringify(visit), session);
    sentAt = performance.now();
    later(SECOND);
  }

  // Active time: visible, focused, and input within the last 30 s. Timers that are late (a machine that slept) add 2 s at most.

  let isActive = false;
  let isTold = false;
  let isPlayed = false;
  let spent = 0;
  let input = 0;
  let last = 0;
  let activeAt = 0;

  function tick() {
    const now = performance.now();
    const until = Math.min(now, last + 2 * SECOND, input + 30 * SECOND);
    if (isActive && until > last) {
      spent += until - last;
      activeAt = until;
    }
    last = now;
    isActive = viewed && !document.hidden && (document.hasFocus() || top != self);
    if (!page && spent >= (isTold ? MINUTE : 15 * SECOND)) report();
    if (isActive && now < input + 30 * SECOND && now > sentAt + 4 * MINUTE) send("read", { page: null, duration_ms: 0 });
  }

  function touch() {
    tick();
    input = activeAt = last;
  }

  let viewed; // what `view` was last given

  // A `read` happened when its time ended, however late that is told: an idle tab that is closed an hour later is no new visit.
  // One `read` for each page turned to, with its time; more time of the same page, or without a page, from one second on.
  function report() {
    const ms = Math.min(Math.floor(spent), HOUR);
    if (ms < SECOND && (isTold || !page)) return;
    send("read", { duration_ms: ms, occurred_at: new Date(Date.now() + activeAt - last).toISOString() });
    spent -= ms;
    isTold = true;
  }

  function turn(to) {
    tick();
    report();
    touch();
    page = to;
    isTold = false;
  }

  const tracker = {
    view(name, options = {}) {
      const { title, kind, pages, properties } = options;
      turn();
      viewed = [name, options];
      isPlayed = false;
      token = "";
      spent = 0;
      media = name;
      send("view", { title, media_kind: kind, pages, properties, previous: visit.seen == name ? "" : visit.seen });
      visit.seen = name;
      touch();
    },
    page(number) {
      number = Math.floor(number);
      if (viewed && number >= 1 && number != page) turn(number);
    },
    share(network, url) {
      if (!off) token = random(12);
      send("share", { network, share: token });
      return tracker.link(url);
    },
    link(url = location.href) {
      const link = new URL(url, location.href);
      const via = token || (visit.origin || {}).via;
      if (off || !via) return link.href;
      const query = link.searchParams;
      query.delete("afi");
      query.delete("utm_source");
      query.set("afv", via);
      return link.href;
    },
    consent(isGiven) {
      if (off) return false;
      if (isGiven != null) keep(VISITOR, isGiven ? kept(VISITOR) || random(32) : "");
      const id = kept(VISITOR);
      return id == null ? id : id != "";
    },
    event: send,
  };
  for (const action of ["download", "print", "play"]) tracker[action] = (properties) => send(action, { properties });
  for (const action of ["click", "search", "feature"])
    tracker[action] = (target, properties) => send(action, { target, properties });

  // The page: a video that reads itself, input, leaving, coming back

  const guard = (run) => (...given) => {
    try {
      return run(...given);
    } catch (error) {
      console.warn("affluence", error); // the page itself is never disturbed
    }
  };

  const listen = (types, run) =>
    types.split(" ").forEach((type) => addEventListener(type, guard(run), true));

  function watch({ type, target }) {
    const name = (target.dataset || {}).affluenceMedia;
    if (!name) return;
    if (name != media) tracker.view(name, { kind: "video" });
    if (type == "play" && !isPlayed) tracker.play();
    isPlayed = true;
    touch();
    tracker.page(target.currentTime / 30 + 1);
  }

  if (off) {
    Object.keys(local).filter((key) => key.startsWith("affluence-")).forEach(drop);
    delete session[VISIT];
  } else {
    listen("pointerdown pointermove keydown wheel scroll focus", touch);
    listen("blur", tick);
    listen("play timeupdate", watch);
    listen("visibilitychange", () => {
      if (!document.hidden) return touch();
      tick();
      report();
      post();
    });
    listen("pagehide", () => {
      tick();
      report();
      const [keys, body] = batch();
      if (keys.length && navigator.sendBeacon(api, body)) keys.forEach((key) => sending.add(key));
      isLeft = true;
    });
    listen("pageshow", ({ persisted }) => {
      isLeft = false;
      sending.clear();
      if (persisted && viewed) tracker.view(...viewed);
    });
    listen("online", () => {
      failures = 0;
      flush();
    });
    setInterval(guard(tick), SECOND);
    later(SECOND);
  }

  for (const name in tracker) {
    const run = tracker[name];
    stub[name] = guard((...given) => {
      // A page that is rendered ahead has no reader yet.
      if (document.prerendering) document.addEventListener("prerenderingchange", guard(() => run(...given)), { once: true });
      else return run(...given);
    });
  }
  window.affluence = stub;
  const calls = stub.q || [];
  delete stub.q;
  calls.forEach(([name, ...given]) => stub[name](...given));
})();
