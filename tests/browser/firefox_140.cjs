// Firefox 140, which Debian has, lacks some commands of WebDriver BiDi that Playwright sends when it opens a page (the
// last came with Firefox 145), and Playwright then gives up. Loaded before Playwright's driver, this lets it go on.
const { Module } = require("module");
const compile = Module.prototype._compile;
const line = 'if (object.error === "no such frame")';

Module.prototype._compile = function (source, file, ...rest) {
  if (file.endsWith("coreBundle.js")) {
    if (source.split(line).length !== 2) throw new Error(`${file} has changed: see firefox_140.cjs`);
    source = source.replace(line, 'if (object.error === "unknown command") return callback.resolve({});\n' + line);
  }
  return compile.call(this, source, file, ...rest);
};
