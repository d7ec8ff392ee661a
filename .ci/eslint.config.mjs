/**
 * What is checked of the page's scripts beside their types (`tsconfig.json`): likely faults, and
 * that nothing makes markup or code out of a text.  Rules are named one by one, so that this file
 * needs nothing but ESLint itself; `eslint -c .ci/eslint.config.mjs engine/page`.
 */

const named = (names, value) => Object.fromEntries(names.map((name) => [name, value]));

const BROWSER = [
  "AbortController", "HTMLElement", "HTMLInputElement", "Node", "TextDecoderStream", "URL", "addEventListener",
  "clearInterval", "clearTimeout", "crypto", "document", "fetch", "history", "innerHeight", "location",
  "matchMedia", "navigator", "performance", "requestAnimationFrame", "scrollTo", "sessionStorage",
  "setInterval", "setTimeout",
];

const FAULTS = [
  "constructor-super", "for-direction", "getter-return", "no-async-promise-executor", "no-case-declarations",
  "no-class-assign", "no-compare-neg-zero", "no-cond-assign", "no-const-assign", "no-constant-binary-expression",
  "no-constant-condition", "no-constructor-return", "no-control-regex", "no-debugger", "no-delete-var",
  "no-dupe-class-members", "no-dupe-else-if", "no-dupe-keys", "no-duplicate-case", "no-empty",
  "no-empty-character-class", "no-empty-pattern", "no-ex-assign", "no-fallthrough", "no-func-assign",
  "no-global-assign", "no-import-assign", "no-invalid-regexp", "no-irregular-whitespace",
  "no-loss-of-precision", "no-misleading-character-class", "no-new-native-nonconstructor", "no-obj-calls",
  "no-promise-executor-return", "no-prototype-builtins", "no-redeclare", "no-regex-spaces", "no-self-assign",
  "no-self-compare", "no-setter-return", "no-shadow-restricted-names", "no-sparse-arrays",
  "no-template-curly-in-string", "no-this-before-super", "no-undef", "no-unexpected-multiline",
  "no-unmodified-loop-condition", "no-unreachable", "no-unreachable-loop", "no-unsafe-finally",
  "no-unsafe-negation", "no-unsafe-optional-chaining", "no-unused-labels", "no-unused-private-class-members",
  "no-useless-assignment", "no-useless-backreference", "no-useless-catch", "no-useless-escape",
  "no-with", "preserve-caught-error", "require-yield", "use-isnan", "valid-typeof",
];

const HABITS = [
  "array-callback-return", "default-case-last", "eqeqeq", "no-array-constructor", "no-caller", "no-console",
  "no-alert", "no-else-return", "no-extend-native", "no-lone-blocks", "no-lonely-if", "no-loop-func",
  "no-multi-assign", "no-param-reassign", "no-return-assign", "no-sequences", "no-shadow",
  "no-throw-literal", "no-unneeded-ternary", "no-unused-expressions", "no-useless-computed-key",
  "no-useless-concat", "no-useless-constructor", "no-useless-rename", "no-useless-return", "no-var",
  "object-shorthand", "prefer-const", "prefer-object-has-own", "prefer-rest-params", "prefer-spread",
  "radix", "require-await", "yoda",
];

/** A text stays a text: the page shows names that others chose. */
const MARKUP = ["innerHTML", "outerHTML", "insertAdjacentHTML", "srcdoc", "write", "writeln", "createContextualFragment"];

export default [{
  files: ["**/*.js"],
  languageOptions: { ecmaVersion: 2023, sourceType: "module", globals: named(BROWSER, "readonly") },
  linterOptions: { reportUnusedDisableDirectives: "error" },
  rules: {
    ...named([...FAULTS, ...HABITS], "error"),
    ...named(["no-eval", "no-implied-eval", "no-new-func", "no-script-url"], "error"),
    "no-unused-vars": ["error", { args: "all", argsIgnorePattern: "^_" }],
    "no-use-before-define": ["error", { functions: false, variables: false }],
    "no-duplicate-imports": "error",
    "no-restricted-properties": ["error", ...MARKUP.map((property) => ({ property, message: "No text becomes markup: dom.js makes elements." }))],
    "no-restricted-globals": ["error",
      { name: "EventSource", message: "It can send no token: stream.js listens." },
      { name: "localStorage", message: "A token stays in its tab: session.js keeps it." },
      { name: "event", message: "A listener is handed it." }],
  },
}];
