// The list of recommendations on a customer's page. Guide: docs/recommendations.md.
// It is served without comments and indentation (events/served.py), so a statement never relies on either.
(() => {
  "use strict";
  const script = document.currentScript;
  const { hub, media, href, limit, title, into } = script.dataset;
  const api = new URL("recommendations", script.src);

  // What a list that came into view is called, and what a followed link begins with: insights/recommendations/followed.py.
  const NAMES = {
    recommended: ["recommendations", "recommendation:"],
    held_out: ["recommendations-holdout", "recommendation-holdout:"],
    null: ["popular", "popular:"],
  };

  const affluence = (window.affluence = window.affluence || {});
  let nav;
  let turn = 0;

  // To the tracker; where it has not come yet, into the queue that it takes over. The media is that of the list, whatever is open.
  function tell(action, target, media) {
    const call = [action, { target, ...(media && { media }) }];
    const { event, q = [] } = window.affluence;
    if (event) return event(...call);
    window.affluence.q = q;
    q.push(["event", ...call]);
  }

  function entry({ media: key, title, kind }, follow) {
    const address = new URL(href.split("{media}").join(encodeURIComponent(key)), document.baseURI);
    if (!/^https?:$/.test(address.protocol)) return "";
    const link = document.createElement("a");
    link.href = address;
    link.dir = "auto";
    link.textContent = title || key;
    link.addEventListener("click", () => follow(key));
    link.addEventListener("auxclick", ({ button }) => button == 1 && follow(key)); // into another tab
    const item = document.createElement("li");
    if (kind) item.dataset.kind = kind;
    item.append(link);
    return item;
  }

  function list({ group, results }, media) {
    const [shown, followed] = NAMES[group];
    const items = results.map((row) => entry(row, (key) => tell("click", followed + key, media))).filter(Boolean);
    clear();
    if (!items.length) return;
    nav = document.createElement("nav");
    nav.className = "affluence-recommendations";
    nav.setAttribute("aria-label", title || "Recommendations");
    if (title) {
      const heading = document.createElement("p");
      heading.setAttribute("aria-hidden", true);
      heading.textContent = title;
      nav.append(heading);
    }
    const ol = document.createElement("ol");
    ol.append(...items);
    nav.append(ol);
    if (into) document.querySelector(into).append(nav);
    else script.after(nav);
    if (!window.IntersectionObserver) return; // what came into view is not known
    // The first link, since a long list never fits into a small window.
    new IntersectionObserver(
      (changes, observer) => {
        if (!changes.some((change) => change.isIntersecting)) return;
        observer.disconnect();
        tell("feature", shown, media);
      },
      { threshold: 0.5 },
    ).observe(items[0]);
  }

  const clear = () => nav && nav.remove();

  async function draw(media, isAgain) {
    const own = ++turn;
    try {
      api.search = new URLSearchParams({ hub, ...(media && { media }), ...(limit && { limit }) });
      const answer = await fetch(api, { credentials: "omit" });
      const found = await answer.json();
      if (own != turn) return; // another list has been asked for meanwhile
      if (answer.status == 503 && !isAgain) return void setTimeout(() => own == turn && draw(media, true), 5000);
      if (!answer.ok) throw found.error.detail;
      list(found, media);
    } catch (error) {
      if (own == turn) clear();
      console.warn("affluence", error); // the page itself is never disturbed
    }
  }

  const other = affluence.recommend; // of another list on this page
  affluence.recommend = (media) => {
    if (other) other(media);
    draw(media);
  };
  draw(media);
})();
