"""The frame of an HTML report: one file, no script, nothing fetched."""

from __future__ import annotations

STYLE = """
:root {
  color-scheme: light dark;
  --page: #ffffff; --text: #1d2126; --quiet: #59626d; --line: #d9dee4; --shade: #f5f7f9;
  --link: #00558a;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #15181c; --text: #e4e7ea; --quiet: #a3acb6; --line: #373d45; --shade: #1e2329;
    --link: #79bdf0;
  }
}
* { box-sizing: border-box; }
html { scroll-padding-top: 1rem; }
body {
  margin: 0 auto; padding: 1.5rem clamp(1rem, 3vw, 3rem) 4rem; max-width: 90rem;
  background: var(--page); color: var(--text);
  font: 1rem/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
}
h1, h2, h3 { line-height: 1.25; text-wrap: balance; }
h1 { font-size: 2rem; margin: 0.5rem 0 1.5rem; }
h2 { font-size: 1.45rem; margin: 3rem 0 1rem; padding-top: 1rem; border-top: 1px solid var(--line); }
h3 { font-size: 1.15rem; margin: 2.25rem 0 0.75rem; }
section:first-of-type > h2 { margin-top: 0; padding-top: 0; border-top: none; }
a { color: var(--link); }
p, li, dd { max-width: 46rem; overflow-wrap: break-word; }
code, pre { font: 0.9em/1.5 ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; }
code { background: var(--shade); padding: 0.1em 0.3em; border-radius: 3px; }
pre { background: var(--shade); padding: 0.75rem 1rem; border-radius: 6px; overflow-x: auto; }
pre code { padding: 0; }
blockquote { margin: 1rem 0; padding-left: 1rem; border-left: 3px solid var(--line); color: var(--quiet); }
.wide { overflow-x: auto; margin: 1.25rem 0; }
table { border-collapse: collapse; font-size: 0.87rem; line-height: 1.4; font-variant-numeric: tabular-nums; }
th, td { padding: 0.4rem 0.5rem; text-align: right; vertical-align: top; }
th:first-child, td:first-child { text-align: left; padding-left: 0.25rem; }
tbody th { font-weight: 600; min-width: 9.5rem; }
.words { text-align: left; }
thead th { border-bottom: 2px solid var(--text); vertical-align: bottom; }
tbody tr { border-bottom: 1px solid var(--line); }
.span { display: block; color: var(--quiet); font-size: 0.85em; white-space: nowrap; }
figure { margin: 1.5rem 0 2rem; }
figure img {
  display: block; max-width: 100%; height: auto; background: #ffffff;
  border: 1px solid var(--line); border-radius: 6px;
}
figcaption { max-width: 46rem; margin-top: 0.5rem; color: var(--quiet); font-size: 0.92rem; }
nav { font-size: 0.92rem; }
nav p { margin: 0 0 0.5rem; font-weight: 600; }
nav ol { list-style: none; margin: 0; padding: 0; }
nav ol ol { padding-left: 1rem; }
nav li { margin: 0.25rem 0; line-height: 1.4; }
nav a { text-decoration: none; }
nav a:hover, nav a:focus { text-decoration: underline; }
main { min-width: 0; margin-top: 2rem; }
@media (min-width: 64rem) {
  .columns { display: grid; grid-template-columns: 12rem minmax(0, 1fr); gap: 2rem; }
  nav { position: sticky; top: 1.5rem; align-self: start; max-height: calc(100vh - 3rem); overflow-y: auto; }
  main { margin-top: 0; }
}
@media print {
  nav { display: none; }
  .columns { display: block; }
  figure, tr { break-inside: avoid; }
}
""".strip()

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
{style}
</style>
</head>
<body>
<h1>{title}</h1>
<div class="columns">
<nav aria-label="Contents">
<p>Contents</p>
{contents}
</nav>
<main>
{sections}
</main>
</div>
</body>
</html>
"""
