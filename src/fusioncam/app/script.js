// Gradio reports the release of a slider by mouse only: a released arrow key is sent as a released mouse button
document.addEventListener("keyup", event => {
    if (event.target.matches("#fc-theta input[type=range]"))
        event.target.dispatchEvent(new PointerEvent("pointerup", {bubbles: true}));
});
// the components of the page appear one by one: an early visitor may use one before the others are there
async function component(selector) {
    let found;
    while (!(found = document.querySelector(selector))) await new Promise(resolve => setTimeout(resolve, 50));
    return found;
}
function listOf(files) {
    const list = new DataTransfer();
    for (const file of files) list.items.add(file);
    return list.files;
}
// files over the limit are named and not sent: Gradio would send none, in words of its own
const LIMIT = Number(document.currentScript.dataset.limit);
function withoutLarge(files) {
    const large = [...files].filter(file => file.size > LIMIT);
    component("#fc-too-large").then(note => {
        note.textContent = large.map(file => `${file.name}: ${note.dataset.message}`).join("\n");
        note.hidden = !large.length;
    });
    return listOf([...files].filter(file => !large.includes(file)));
}
document.addEventListener("change", event => {
    if (!event.target.matches(":is(#fc-image, #fc-several) input[type=file]")) return;
    const kept = withoutLarge(event.target.files);
    if (kept.length < event.target.files.length) event.target.files = kept;
    if (!kept.length) event.stopPropagation();
}, true);
document.addEventListener("click", event => {
    if (!event.target.closest("#fc-image, #fc-examples, #fc-list")) return;
    component("#fc-too-large").then(note => { note.hidden = true; });
});
// the component of one image takes the first of several files and loses the others: they go to the list
document.addEventListener("drop", event => {
    const files = listOf(event.dataTransfer?.files ?? []);
    if (!files.length || !event.target.closest("#fc-image")) return;
    if (files.length === 1 && withoutLarge(files).length) return;
    event.preventDefault();
    event.stopPropagation();
    event.target.dispatchEvent(new DragEvent("dragleave", {bubbles: true}));
    if (files.length === 1) return;
    component("#fc-several input[type=file]").then(input => {
        input.files = files;
        input.dispatchEvent(new Event("change", {bubbles: true}));
    });
}, true);
