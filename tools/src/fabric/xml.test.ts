import { expect, it } from 'vitest';
import { escapeXml, unescapeXml } from './xml.ts';

it('makes any text safe for an element and an attribute', () => {
  expect(escapeXml('{"a": "<b> & \'c\'"}')).toBe("{&quot;a&quot;: &quot;&lt;b&gt; &amp; 'c'&quot;}");
  expect(escapeXml(']]>')).toBe(']]&gt;');
});

it('puts a mark for what XML cannot hold, and keeps a carriage return', () => {
  expect(escapeXml('a\u0000b\ud800c\ufffe')).toBe('a\ufffdb\ufffdc\ufffd');
  expect(escapeXml('a\r\n\tb')).toBe('a&#13;\n\tb');
});

it('reads back what it wrote', () => {
  const text = '<a href="x?b=1&c=2">\'é\'</a>\r\n😀';
  expect(unescapeXml(escapeXml(text))).toBe(text);
});

it.each([
  ['&apos;&#39;&#x27;', "'''"],
  ['&#128512;', '😀'],
  ['&nbsp; & &;', '&nbsp; & &;'],
  ['&#9999999;', '&#9999999;'],
  ['&amp;lt;', '&lt;'],
])('reads %s', (text, expected) => {
  expect(unescapeXml(text)).toBe(expected);
});
