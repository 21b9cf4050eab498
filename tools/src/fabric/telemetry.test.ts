import { expect, it } from 'vitest';
import { parseTelemetry } from './telemetry.ts';

const PROVIDER = 'FFF0196F-EE4C-4EAF-9AA5-776F622DEB4F';

function post(...events: readonly string[]): string {
  const bodies = events.map((params) => `<Event id="7"><![CDATA[${params}]]></Event>`);
  return `<?xml version="1.0"?><TelemetryData version="1.0"><Provider id="${PROVIDER}">${bodies.join('')}</Provider></TelemetryData>`;
}

it('reads the events with their typed parameters', () => {
  const events = parseTelemetry(
    post(
      '<Param Name="Message" Value="a &lt;b&gt; &amp; c&#10;d" T="mt:wstr" /><Param Name="Pid" Value="44" T="mt:uint64" />',
      '<Param Name="IsInternal" Value="False" T="mt:bool" /><Param Name="Load" Value="0.5" T="mt:float64" />',
    ),
  );
  expect(events).toEqual([
    { providerId: PROVIDER, eventId: '7', parameters: { Message: 'a <b> & c\nd', Pid: 44 } },
    { providerId: PROVIDER, eventId: '7', parameters: { IsInternal: false, Load: 0.5 } },
  ]);
});

it('reads a value in the other quotes, as Python writes one with double quotes in it', () => {
  const [event] = parseTelemetry(post(`<Param Name="Message" Value='say "x" it&apos;s' T="mt:wstr" />`));
  expect(event?.parameters).toEqual({ Message: 'say "x" it\'s' });
});

it('keeps as text a count that a number cannot hold', () => {
  const [event] = parseTelemetry(post('<Param Name="Tid" Value="18446744073709551615" T="mt:uint64" />'));
  expect(event?.parameters).toEqual({ Tid: '18446744073709551615' });
});

it.each(['', 'not XML', '<TelemetryData version="1.0"></TelemetryData>', post().slice(0, 80)])(
  'finds no event in %s',
  (text) => {
    expect(parseTelemetry(text)).toEqual([]);
  },
);

it('reads a long text of beginnings without an end in one pass', () => {
  for (const beginning of ['<Provider id="x">', '<Event id="1"><![CDATA[', '<Param Name="a" Value="']) {
    const started = performance.now();
    const body = beginning.repeat(100_000);
    expect(parseTelemetry(`<Provider id="a">${body}</Provider>${body}`)).toEqual([]);
    expect(performance.now() - started).toBeLessThan(2_000);
  }
});
