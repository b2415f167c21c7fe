import js from "@eslint/js";

const browser = [
  "AbortSignal",
  "EventSource",
  "HTMLElement",
  "HTMLAnchorElement",
  "HTMLButtonElement",
  "HTMLCanvasElement",
  "HTMLSelectElement",
  "CanvasRenderingContext2D",
  "Element",
  "KeyboardEvent",
  "MessageEvent",
  "Node",
  "Option",
  "ResizeObserver",
  "TextDecoder",
  "URLSearchParams",
  "clearTimeout",
  "console",
  "devicePixelRatio",
  "document",
  "fetch",
  "getComputedStyle",
  "history",
  "localStorage",
  "location",
  "matchMedia",
  "performance",
  "requestAnimationFrame",
  "setInterval",
  "setTimeout",
  "window",
];

export default [
  js.configs.recommended,
  {
    languageOptions: {
      ecmaVersion: 2022,
      sourceType: "module",
      globals: Object.fromEntries(browser.map((name) => [name, "readonly"])),
    },
    rules: {
      complexity: ["error", 14],
      eqeqeq: "error",
      "no-eval": "error",
      "no-implied-eval": "error",
      "no-restricted-properties": [
        "error",
        ...["innerHTML", "outerHTML", "insertAdjacentHTML", "write"].map((property) => ({
          property,
          message: "Text of the station is never markup: use text nodes.",
        })),
      ],
      "no-var": "error",
      "prefer-const": "error",
    },
  },
];
