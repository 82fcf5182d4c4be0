export function show(element, text) {
  element.textContent = text;
}
