// For pages opened from a folder. The theme searches in a worker, which browsers start only for pages from a server:
// here the worker's code runs in a hidden frame instead.
if (location.protocol === "file:") {
	window.Worker = class extends EventTarget {
		#loaded;

		constructor(address) {
			super();
			const frame = document.createElement("iframe");
			frame.hidden = true;
			document.body.append(frame);
			const inside = frame.contentWindow;
			inside.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
			this.#loaded = new Promise((resolve) => {
				const script = inside.document.createElement("script");
				script.src = address;
				script.onload = () => resolve(inside);
				inside.document.body.append(script);
			});
		}

		async postMessage(data) {
			const inside = await this.#loaded;
			inside.dispatchEvent(new MessageEvent("message", { data }));
		}
	};
}
