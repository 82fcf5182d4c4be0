// What the parts of a page say of their build, once all have come: in data-said, as "1 1 1 …".
export async function report({ script, lazy, worker }) {
  const said = await new Promise((resolve) => {
    worker.onmessage = (e) => resolve(e.data);
    worker.onerror = () => resolve("error");
  });
  const image = document.querySelector("img");
  await image.decode();
  await document.fonts.load("16px F");
  const style = getComputedStyle(document.documentElement).getPropertyValue("--build").replaceAll('"', "").trim();
  const page = document.documentElement.dataset.build;
  document.documentElement.dataset.said = [page, script, lazy, said, style, image.naturalWidth - 100].join(" ");
}
