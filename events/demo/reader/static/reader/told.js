// Everything that this site tells Affluence. Its other scripts know nothing of the tracker: they say what happened as events of the page.
"use strict";
(() => {
  const { media, kind, title, pages } = document.body.dataset;
  const searched = document.querySelector("[data-searched]");
  const on = (type, tell) => addEventListener(type, tell);
  const onClick = (selector, tell) =>
    on("click", ({ target }) => target.closest(selector) && tell(target.closest(selector).dataset));

  // What is open: a media, or the hub itself.
  if (media) affluence.view(media, { title, kind, pages: pages && Number(pages) });
  else affluence.view();
  if (searched) affluence.search(searched.dataset.searched);

  // What is read: pages of a document, stretches of half a minute of a film.
  on("reader:turn", ({ detail }) => affluence.page(detail.page));
  on("reader:play", () => affluence.play());
  on("reader:stretch", ({ detail }) => affluence.page(detail.number));

  // What is done with it. A share answers the address that carries its token.
  on("reader:share", ({ detail }) => {
    detail.address = affluence.share(detail.network, detail.address) || detail.address;
  });
  on("beforeprint", () => affluence.print());
  onClick("[data-download]", () => affluence.download());
  onClick("[data-product]", ({ product }) => affluence.click(product));
  onClick("[data-contents]", () => affluence.feature("table-of-contents"));
  onClick("[data-zoom]", () => affluence.feature("zoom"));
  onClick("[data-fullscreen]", () => affluence.feature("fullscreen"));
  onClick("[data-wish]", () => affluence.feature("wishlist"));

  // Whether the reader may be known again. Who asks not to be tracked is not asked.
  const box = document.querySelector("[data-consent]");
  const isSilent = navigator.globalPrivacyControl || navigator.doNotTrack === "1";
  box.checked = affluence.consent() === true;
  box.addEventListener("change", () => affluence.consent(box.checked));
  box.closest("label").hidden = isSilent;
  document.querySelector(".silent").hidden = !isSilent;
})();
