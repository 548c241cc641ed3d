/* The search runs in a worker, which browsers refuse to pages that are opened from disk. There it runs in a hidden
   frame, which shares the thread of the page and takes the same messages. */
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      this.waiting = []
      const frame = document.createElement("iframe")
      frame.hidden = true
      document.documentElement.append(frame)
      this.inside = frame.contentWindow
      this.inside.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }))
      const script = frame.contentDocument.createElement("script")
      script.src = url
      script.onload = () => this.start()
      frame.contentDocument.body.append(script)
    }

    start() {
      const earlier = this.waiting
      this.waiting = null
      earlier.forEach((data) => this.postMessage(data))
    }

    /* asynchronous, as between threads */
    postMessage(data) {
      if (this.waiting) this.waiting.push(data)
      else setTimeout(() => this.inside.dispatchEvent(new MessageEvent("message", { data })))
    }
  }
}
