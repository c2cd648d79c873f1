// The tools that every media has: share, print, full screen; and what is behind a lamp.
"use strict";
(() => {
  const find = (selector) => document.querySelector(selector);
  const onClick = (selector, run) =>
    document.querySelectorAll(selector).forEach((button) => button.addEventListener("click", () => run(button)));

  async function copied(text) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      return false; // the browser forbids it, or the page is no secure one
    }
  }

  onClick("[data-share]", async (button) => {
    const detail = { network: button.dataset.share, address: location.href };
    dispatchEvent(new CustomEvent("reader:share", { detail }));
    const field = find("#share-address");
    field.value = detail.address;
    find("[data-share-told]").textContent = "";
    find("#share").showModal();
    field.select();
    const name = button.lastChild.textContent;
    find("[data-share-told]").textContent = (await copied(detail.address))
      ? `The address for ${name} is copied to your clipboard.`
      : `Copy this address for ${name}:`;
  });

  onClick("[data-product]", ({ dataset }) => find(`#product-${dataset.product}`).showModal());
  onClick("[data-wish]", (button) => {
    const isWished = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", isWished);
    button.textContent = isWished ? "On your wish list" : "Add to wish list";
  });
  onClick("[data-print]", () => print());
  onClick("[data-fullscreen]", () =>
    document.fullscreenElement ? document.exitFullscreen() : find(".desk").requestFullscreen().catch(() => {}),
  );
  // A click beside a box closes it.
  document.querySelectorAll("dialog").forEach((box) =>
    box.addEventListener("click", ({ target }) => target === box && box.close()),
  );
})();
