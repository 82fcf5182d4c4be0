const Html = require("html-webpack-plugin"), Css = require("mini-css-extract-plugin"), { DefinePlugin } = require("webpack");
const build = process.env.BUILD;
module.exports = {
  mode: "production", context: __dirname, entry: "./src/main.js",
  output: { path: process.env.OUT, filename: "[name].js", chunkFilename: "[name].js", assetModuleFilename: "[name][ext]", clean: true },
  optimization: { chunkIds: "named" },
  module: { rules: [{ test: /\.css$/, use: [Css.loader, "css-loader"] }, { test: /\.(svg|ttf)$/, type: "asset/resource" }] },
  plugins: [new Html({ template: "index.html", build }), new Css({ filename: "[name].css" }), new DefinePlugin({ BUILD: JSON.stringify(build) })],
};
