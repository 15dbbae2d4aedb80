"""The look of the report: the system's fonts, a light and a dark scheme, one column on a phone, and paper."""

STYLE = """
:root { color-scheme: light dark; --paper: #f4f5f7; --card: #ffffff; --ink: #1b1f27; --soft: #5a6372; --line: #dfe3e9;
  --first: #2357c6; --second: #c85a10; --third: #12805c; --faint: #9aa7bd; --wash: #dbe5f8; --heat: 35, 87, 198; --bad: #c02f3d;
  --good: #12805c; }
@media screen and (prefers-color-scheme: dark) {
  :root { --paper: #12151a; --card: #1b1f26; --ink: #e7eaef; --soft: #9ba4b2; --line: #323945;
    --first: #7fa8ff; --second: #f0a05a; --third: #54c79b; --faint: #76839a; --wash: #2a3b5f; --heat: 66, 112, 228;
  --bad: #f0717c;
    --good: #54c79b; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", "Liberation Sans", sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 32px 20px 48px; display: grid; gap: 20px; grid-template-columns: 1fr 1fr; }
main > * { grid-column: 1 / -1; min-width: 0; }
main > .half { grid-column: auto; }
header h1 { font-size: 28px; line-height: 1.2; font-weight: 650; letter-spacing: -0.01em; margin: 0 0 6px;
  overflow-wrap: anywhere; }
header p { margin: 0; color: var(--soft); overflow-wrap: anywhere; }
h2 { font-size: 17px; line-height: 1.3; font-weight: 600; margin: 0 0 4px; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 20px 22px; }
.legend, .none { margin: 0 0 14px; color: var(--soft); font-size: 13.5px; max-width: 78ch; }
.tiles { display: grid; grid-template-columns: repeat(4, 1fr); gap: 12px; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 14px 16px; }
.tile .label { font-size: 13px; color: var(--soft); }
.tile .value { font-size: 30px; line-height: 1.25; font-weight: 600; font-variant-numeric: tabular-nums;
  letter-spacing: -0.02em; }
.tile .note { font-size: 12px; color: var(--soft); line-height: 1.35; }
.plot svg { display: block; width: 100%; height: auto; }
.plot text { font-family: inherit !important; }
.key { list-style: none; display: flex; flex-wrap: wrap; gap: 4px 18px; margin: 10px 0 0; padding: 0; font-size: 13px;
  color: var(--soft); }
.key li { display: flex; align-items: center; gap: 7px; }
.swatch { width: 16px; height: 4px; border-radius: 2px; flex: none; background: var(--faint); }
.swatch.first { background: var(--first); } .swatch.second { background: var(--second); }
.swatch.third { background: var(--third); } .swatch.wash { background: var(--wash); height: 10px; }
.swatch.dot { width: 10px; height: 10px; border-radius: 50%; background: var(--second); }
.swatch.dots { background: repeating-linear-gradient(90deg, var(--soft) 0 3px, transparent 3px 6px); height: 2px; }
.swatch.good, .swatch.bad { width: 12px; height: 10px; background: none; border: 2px solid var(--good); }
.swatch.bad { border-color: var(--bad); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 13.5px; font-variant-numeric: tabular-nums; }
th, td { padding: 6px 10px; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
thead th { font-weight: 500; color: var(--soft); font-size: 12.5px; vertical-align: bottom; }
tbody th { font-weight: 500; text-align: left; }
thead th:first-child { text-align: left; }
tbody tr:last-child > * { border-bottom: 0; }
tbody th { max-width: 260px; overflow: hidden; text-overflow: ellipsis; }
.chip { display: inline-block; width: 10px; height: 10px; border-radius: 2px; margin-right: 7px; }
.bar { display: inline-block; width: 140px; height: 9px; border-radius: 2px; background: var(--line); vertical-align: middle;
  overflow: hidden; }
.bar .fill { display: block; height: 100%; border-radius: 2px; background: var(--first); }
.bar .fill.bad { background: var(--bad); }
td:has(.bar) { text-align: left; }
th .said { display: block; font-weight: 400; font-size: 12px; color: var(--soft); white-space: normal; }
.told { margin: 12px 0 0; font-size: 13.5px; color: var(--soft); }
.spark { width: 62px; height: 26px; display: inline-block; vertical-align: middle; }
.spark path { fill: none; stroke: var(--first); stroke-width: 1.6; }
.spark rect { fill: none; stroke: var(--line); }
.said td:last-child, .facts td { text-align: left; white-space: normal; }
.said td:last-child { color: var(--soft); min-width: 240px; }
.heat { width: auto; font-size: 12px; }
.heat td { text-align: center; border: 1px solid var(--card); min-width: 34px; height: 28px; padding: 2px 4px;
  background: rgba(var(--heat), var(--a, 0)); }
.heat tbody th { text-align: right; padding: 2px 10px; border: 0; font-weight: 400; }
.heat thead th { border: 0; padding: 6px 2px; font-weight: 400; color: var(--ink); text-align: center; }
.heat thead th:first-child { color: var(--soft); text-align: right; padding: 2px 10px; }
.heat thead th span { display: inline-block; writing-mode: vertical-rl; transform: rotate(180deg); max-height: 180px;
  overflow: hidden; text-overflow: ellipsis; }
.heat td.high { color: #ffffff; }
.heat td.nil { color: transparent; }
.heat td.self { outline: 1px solid var(--faint); outline-offset: -1px; }
.gallery { display: grid; grid-template-columns: repeat(auto-fill, minmax(224px, 1fr)); gap: 16px; }
.gallery.maps { grid-template-columns: 1fr; }
figure { margin: 0; break-inside: avoid; min-width: 0; }
figure .frame { display: flex; align-items: center; justify-content: center; background: #22262d; border-radius: 7px;
  overflow: hidden; aspect-ratio: 4 / 3; }
figure .frame img { width: 100%; height: 100%; object-fit: contain; display: block; }
figure .frame p { color: #aab2bf; font-size: 12.5px; }
figure .row .file { color: var(--soft); padding: 3px 2px 0; }
figure .row { display: grid; grid-template-columns: repeat(3, minmax(0, 1fr)); gap: 8px; }
figcaption { font-size: 12.5px; line-height: 1.4; color: var(--soft); padding: 7px 2px 0; overflow-wrap: anywhere; }
figcaption b { color: var(--ink); font-weight: 600; }
.file { display: block; font-size: 11.5px; }
.note-list { margin: 0; padding-left: 18px; font-size: 13.5px; color: var(--soft); }
.facts th { width: 190px; color: var(--soft); font-weight: 400; white-space: normal; vertical-align: top; }
.facts td { overflow-wrap: anywhere; }
@media screen and (max-width: 760px) {
  main { padding: 20px 12px 32px; gap: 14px; } main > .half { grid-column: 1 / -1; }
  .card { padding: 16px 14px; } header h1 { font-size: 23px; } .tile .value { font-size: 25px; }
  .tiles { grid-template-columns: repeat(2, 1fr); gap: 8px; }
  .gallery { grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); gap: 12px; }
  .bar { width: 76px; } .said td:last-child { min-width: 0; } .facts th { width: 110px; } th, td { padding: 6px 7px; } }
@media print {
  :root { color-scheme: light; --paper: #ffffff; } body { font-size: 11px; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  main { padding: 0; gap: 12px; max-width: none; } .card, .tile { break-inside: avoid; border-color: #dfe3e9; }
  .card.long { break-inside: auto; } h2 { break-after: avoid; } .wide { overflow: visible; }
  tr { break-inside: avoid; } th, td { padding: 3px 6px; } .bar { width: 80px; }
  .gallery { grid-template-columns: repeat(4, 1fr); } }
"""
