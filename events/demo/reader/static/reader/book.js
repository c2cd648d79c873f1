// Turns the pages: by button, slider, key, swipe and link. Says "reader:turn" with the page in sight, of two the left one.
"use strict";
(() => {
  const find = (selector) => document.querySelector(selector);
  const all = (selector) => [...document.querySelectorAll(selector)];
  const book = find(".book");
  const stage = find(".stage");
  const pages = all(".book .page");
  const leaves = all(".book .leaf");
  const slider = find("[data-page]");
  const wide = matchMedia("(min-width: 860px)");
  const last = pages.length;
  const SWIPE_PX = 40;
  let at = 1;

  // The pages in sight: one, or of an open book the even one and the next.
  const left = () => (wide.matches ? Math.max(1, at - (at % 2)) : at);
  const right = () => (wide.matches ? Math.min(last, at - (at % 2) + 1) : at);

  function show() {
    pages.forEach((page, index) => {
      const isSeen = index + 1 >= left() && index + 1 <= right();
      page.classList.toggle("current", isSeen);
      page.classList.toggle("past", index + 1 < left());
      page.inert = !isSeen;
    });
    const turned = Math.floor(at / 2);
    leaves.forEach((leaf, index) => {
      const isTurned = index < turned;
      const isTurning = isTurned !== leaf.classList.contains("turned");
      leaf.classList.toggle("turned", isTurned);
      leaf.classList.toggle("far", !isTurning && Math.abs(index - turned + 0.5) > 2);
      leaf.style.zIndex = isTurning ? last : isTurned ? index : last - index;
    });
    book.classList.toggle("at-front", left() === 1);
    book.classList.toggle("at-back", right() === last && left() === last);
    const numbers = left() === right() ? `Page ${left()}` : `Pages ${left()}–${right()}`;
    slider.value = at;
    slider.setAttribute("aria-valuetext", numbers);
    find("[data-told]").textContent = `${numbers} of ${last}`;
    find("[data-turn='-1']").disabled = left() === 1;
    find("[data-turn='1']").disabled = right() === last;
    dispatchEvent(new CustomEvent("reader:turn", { detail: { page: left() } }));
  }

  function go(page) {
    at = Math.min(last, Math.max(1, page));
    history.replaceState(null, "", `#page-${left()}`);
    show();
  }

  const turn = (by) => go(by > 0 ? right() + 1 : left() - 1);
  const numberOf = (hash) => Number((/^#page-(\d+)$/.exec(hash) || [])[1]) || 0;

  all("[data-turn]").forEach((button) => button.addEventListener("click", () => turn(Number(button.dataset.turn))));
  slider.addEventListener("input", () => go(Number(slider.value)));

  const KEYS = {
    ArrowRight: () => turn(1),
    ArrowLeft: () => turn(-1),
    PageDown: () => turn(1),
    PageUp: () => turn(-1),
    Home: () => go(1),
    End: () => go(last),
  };
  addEventListener("keydown", (event) => {
    const isElsewhere = event.target.closest("input, dialog") || event.ctrlKey || event.metaKey || event.altKey;
    if (isElsewhere || !KEYS[event.key]) return;
    event.preventDefault();
    KEYS[event.key]();
  });

  let touched = null;
  book.addEventListener("pointerdown", (event) => {
    touched = event.pointerType === "mouse" || stage.classList.contains("zoomed") ? null : event;
  });
  book.addEventListener("pointerup", (event) => {
    if (!touched) return;
    const across = event.clientX - touched.clientX;
    const down = event.clientY - touched.clientY;
    if (Math.abs(across) > SWIPE_PX && Math.abs(across) > 1.5 * Math.abs(down)) turn(-across);
    touched = null;
  });

  // Links to a page, in the document and in its contents, turn to it instead of scrolling.
  addEventListener("click", (event) => {
    const link = event.target.closest("a[href^='#page-']");
    if (!link) return;
    event.preventDefault();
    find("#contents").close();
    go(numberOf(link.hash));
  });
  addEventListener("hashchange", () => numberOf(location.hash) && go(numberOf(location.hash)));
  find("[data-contents]").addEventListener("click", () => find("#contents").showModal());

  find("[data-zoom]").addEventListener("click", ({ currentTarget }) => {
    const isZoomed = stage.classList.toggle("zoomed");
    currentTarget.setAttribute("aria-pressed", isZoomed);
    if (isZoomed) stage.scrollLeft = (stage.scrollWidth - stage.clientWidth) / 2;
  });

  wide.addEventListener("change", show);
  book.classList.add("live");
  at = Math.min(last, numberOf(location.hash) || 1);
  show();
})();
