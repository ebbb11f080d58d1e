// The theme of the page, for what is drawn without a style sheet.

const THEME_ATTRIBUTES = ["class", "data-jp-theme-light", "data-jp-theme-name", "data-vscode-theme-kind", "theme"];

/**
 * Call `changed` whenever the theme of the page may have changed.
 * @param {() => void} changed
 * @param {AbortSignal} signal
 */
export function followTheme(changed, signal) {
	const observer = new MutationObserver(changed);
	for (const element of [document.body, document.documentElement])
		observer.observe(element, { attributeFilter: THEME_ATTRIBUTES });
	signal.addEventListener("abort", () => observer.disconnect());
	matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed, { signal });
}
