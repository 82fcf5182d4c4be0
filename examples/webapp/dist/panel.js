export function show(element) {
  element.textContent = "This part came later, and is of the same release as its page.";
}
