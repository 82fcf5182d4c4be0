// The panel is fetched when it is needed: minutes or days after the page was.
document.querySelector("#more").addEventListener("click", async () => {
  const { show } = await import("./panel.js");
  show(document.querySelector("#panel"));
});
