// Gradio reports the release of a slider by mouse only: a released arrow key is sent as a released mouse button
document.addEventListener("keyup", event => {
    if (event.target.matches("#fc-theta input[type=range]"))
        event.target.dispatchEvent(new PointerEvent("pointerup", {bubbles: true}));
});
// files over the limit are named and not sent: Gradio would send none, in words of its own
function withoutLarge(files) {
    const note = document.querySelector("#fc-too-large");
    const large = [...files].filter(file => file.size > Number(note.dataset.limit));
    note.textContent = large.map(file => `${file.name}: ${note.dataset.message}`).join("\n");
    note.hidden = !large.length;
    const kept = new DataTransfer();
    [...files].filter(file => !large.includes(file)).forEach(file => kept.items.add(file));
    return kept.files;
}
document.addEventListener("change", event => {
    if (!event.target.matches(":is(#fc-image, #fc-several) input[type=file]")) return;
    const kept = withoutLarge(event.target.files);
    if (kept.length < event.target.files.length) event.target.files = kept;
    if (!kept.length) event.stopPropagation();
}, true);
document.addEventListener("click", event => {
    if (event.target.closest("#fc-image, #fc-examples, #fc-list")) document.querySelector("#fc-too-large").hidden = true;
});
// the component of one image takes the first of several files and loses the others: they go to the list
document.addEventListener("drop", event => {
    const files = event.dataTransfer?.files ?? [];
    const input = document.querySelector("#fc-several input[type=file]");
    if (!files.length || !input || !event.target.closest("#fc-image")) return;
    if (files.length === 1 && withoutLarge(files).length) return;
    event.preventDefault();
    event.stopPropagation();
    event.target.dispatchEvent(new DragEvent("dragleave", {bubbles: true}));
    if (files.length === 1) return;
    input.files = files;
    input.dispatchEvent(new Event("change", {bubbles: true}));
}, true);
