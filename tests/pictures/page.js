// Draws the panels of a dashboard from the answers to their queries. It is not Grafana.
const COLUMN = 46, ROW = 27, GAP = 4;
const LINES = ['#1f77b4', '#ff7f0e', '#2ca02c', '#d62728', '#9467bd', '#8c564b', '#e377c2', '#7f7f7f', '#bcbd22', '#17becf'];
const COLOURS = { green: '#3c8a3f', yellow: '#c79a00', orange: '#e0701b', red: '#c4302b', blue: '#2f6fb3', text: null };

function scaled(value, steps, base) {
  let at = 0;
  while (Math.abs(value) >= base && at < steps.length - 1) { value /= base; at += 1; }
  return `${rounded(value)} ${steps[at]}`.trim();
}

const rounded = (value) => String(Number(value.toPrecision(3)));

function seconds(value) {
  const size = Math.abs(value);
  if (size > 0 && size < 1) return `${rounded(value * 1000)} ms`;
  for (const [name, length] of [['d', 86400], ['h', 3600], ['min', 60]]) {
    if (size >= 2 * length) return `${rounded(value / length)} ${name}`;
  }
  return `${rounded(value)} s`;
}

function told(value, unit) {
  if (value === null || !isFinite(value)) return '–';
  switch (unit) {
    case 's': return seconds(value);
    case 'percentunit': return `${rounded(100 * value)} %`;
    case 'bytes': return scaled(value, ['B', 'KiB', 'MiB', 'GiB', 'TiB'], 1024);
    case 'Bps': return `${scaled(value, ['B', 'kB', 'MB', 'GB'], 1000)}/s`;
    case 'none': return String(Number(value.toPrecision(6)));
    case 'dateTimeFromNow': return value === 0 ? 'never' : `${seconds(drawn.end - value / 1000)} ago`;
    case 'reqps': case 'cps': case 'pps': return `${scaled(value, ['', 'k', 'M'], 1000)}/s`;
    default: return scaled(value, ['', 'k', 'M', 'G'], 1000) + (unit.startsWith('suffix:') ? ` ${unit.slice(7).trim()}` : '');
  }
}

function colour(value, steps) {
  let found = steps.length ? steps[0].color : 'text';
  for (const step of steps) if (step.value !== null && value >= step.value) found = step.color;
  return COLOURS[found] ?? null;
}

function element(kind, parent, text = '', name = '') {
  const made = document.createElement(kind);
  made.textContent = text;
  made.className = name;
  parent.append(made);
  return made;
}

function numbers(panel, place) {
  const box = element('div', place, '', 'numbers');
  const shown = panel.series.length ? panel.series : [{ name: '', values: [[0, null]] }];
  for (const one of shown.slice(0, 4)) {
    const value = one.values.at(-1)[1];
    const known = panel.meanings[String(value)];
    const fill = value === null ? null : colour(value, panel.steps);
    const field = element('div', box, '', fill ? 'number' : 'number plain');
    if (fill) field.style.background = fill;
    element('b', field, known ?? told(value, panel.unit));
    if (shown.length > 1) element('span', field, one.name);
  }
}

function table(panel, place) {
  const made = element('table', place);
  const hidden = new Set(panel.hidden);
  const columns = [...new Set(panel.series.flatMap((one) => Object.keys(one.labels)))].filter((name) => !hidden.has(name));
  const head = element('tr', made);
  for (const name of [...columns, 'Value']) element('th', head, name);
  for (const one of panel.series.slice(0, 9)) {
    const line = element('tr', made);
    for (const name of columns) element('td', line, one.labels[name] ?? '');
    element('td', line, told(one.values.at(-1)[1], panel.unit));
  }
}

function graph(panel, place, width, height) {
  const times = [...new Set(panel.series.flatMap((one) => one.values.map(([time]) => time)))].sort((a, b) => a - b);
  const rows = panel.series.map((one) => {
    const known = new Map(one.values);
    return times.map((time) => known.get(time) ?? null);
  });
  if (panel.stacked) {
    for (let at = 1; at < rows.length; at += 1) {
      rows[at] = rows[at].map((value, x) => (value === null && rows[at - 1][x] === null ? null : (value ?? 0) + (rows[at - 1][x] ?? 0)));
    }
  }
  const order = panel.stacked ? rows.map((_, at) => rows.length - 1 - at) : rows.map((_, at) => at);
  const limits = panel.steps.filter((step) => step.value !== null);
  const line = (u) => {
    for (const step of limits) {
      const y = u.valToPos(step.value, 'y', true);
      if (y < u.bbox.top || y > u.bbox.top + u.bbox.height) continue;
      u.ctx.save();
      u.ctx.strokeStyle = COLOURS[step.color] ?? '#999';
      u.ctx.setLineDash([5, 4]);
      u.ctx.beginPath();
      u.ctx.moveTo(u.bbox.left, y);
      u.ctx.lineTo(u.bbox.left + u.bbox.width, y);
      u.ctx.stroke();
      u.ctx.restore();
    }
  };
  const font = '10px DejaVu Sans';
  const range = (u, low, high) => {
    const [least, most] = [panel.least ?? low, panel.most ?? high];
    const padded = panel.most ?? (most === least ? most + 1 : most + 0.08 * (most - least));
    return [panel.least ?? least - 0.08 * (most - least), padded];
  };
  new uPlot({
    width, height, legend: { show: false }, cursor: { show: false },
    scales: { y: { range } },
    axes: [
      { font, size: 24, space: 60, grid: { stroke: '#eee' }, values: (u, at) => at.map((time) => new Date(time * 1000).toISOString().slice(11, 19)) },
      { font, size: 62, space: 28, grid: { stroke: '#eee' }, values: (u, at) => at.map((value) => told(value, panel.unit)) },
    ],
    hooks: { draw: [line] },
    series: [{}, ...order.map((at) => ({
      stroke: LINES[at % LINES.length], width: 1, points: { show: false }, spanGaps: true,
      fill: panel.stacked ? `${LINES[at % LINES.length]}55` : undefined,
    }))],
  }, [times, ...order.map((at) => rows[at])], place);
  const legend = element('div', place, '', 'legend');
  panel.series.forEach((one, at) => {
    element('i', legend).style.background = LINES[at % LINES.length];
    legend.append(one.name);
  });
}

document.querySelector('header b').textContent = drawn.title;
document.querySelector('header span').textContent = `${drawn.question} — a drawing of the panels' own queries, not Grafana`;
for (const panel of drawn.panels) {
  const place = element('div', document.getElementById('board'), '', panel.type === 'row' ? 'row' : 'panel');
  const { x, y, w, h } = panel.place;
  const [width, height] = [w * COLUMN - GAP, h * ROW - GAP];
  Object.assign(place.style, { left: `${x * COLUMN}px`, top: `${y * ROW}px`, width: `${width}px`, height: `${height}px` });
  if (panel.type === 'row') { place.textContent = panel.title; continue; }
  element('h3', place, panel.title);
  if (panel.type === 'text') element('div', place, panel.text.replace(/\*\*|`/g, '').replace(/\[([^\]]*)\]\([^)]*\)/g, '$1'), 'words');
  else if (panel.type === 'stat') numbers(panel, place);
  else if (panel.type === 'table') table(panel, place);
  else graph(panel, place, width - 4, height - 50);
}
