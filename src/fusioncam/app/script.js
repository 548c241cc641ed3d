// Gradio reports the release of a slider by mouse only: a released arrow key is sent as a released mouse button
document.addEventListener("keyup", event => {
    if (event.target.matches("#fc-theta input[type=range]"))
        event.target.dispatchEvent(new PointerEvent("pointerup", {bubbles: true}));
});
// the component of one image takes the first of several files and loses the others: they go to the list
document.addEventListener("drop", event => {
    const files = event.dataTransfer?.files ?? [];
    const input = document.querySelector("#fc-several input[type=file]");
    if (files.length < 2 || !input || !event.target.closest("#fc-image")) return;
    event.preventDefault();
    event.stopPropagation();
    event.target.dispatchEvent(new DragEvent("dragleave", {bubbles: true}));
    input.files = files;
    input.dispatchEvent(new Event("change", {bubbles: true}));
}, true);
