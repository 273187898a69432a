/** Builds DOM nodes. Text always enters as text nodes, never as HTML: names and chat lines come from strangers. */

type Child = Node | string | number | null | undefined | false;

/** Attributes by name; `on*` functions become listeners, `class` and booleans work as in HTML. */
export type Props = Record<string, unknown>;

/** An element with attributes, listeners and children. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  props: Props = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (typeof value === 'function') {
      element.addEventListener(name.slice(2).toLowerCase(), value as EventListener);
    } else {
      element.setAttribute(name, value === true ? '' : String(value));
    }
  }
  append(element, ...children);
  return element;
}

/** Appends children, skipping absent ones. */
export function append(parent: Node, ...children: Child[]): void {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    parent.appendChild(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

/** A live region's text. The same text twice in a row is announced twice. */
export function announce(text: string, urgency: 'polite' | 'urgent' = 'polite'): void {
  const region = document.getElementById(urgency);
  if (!region) return;
  region.replaceChildren();
  setTimeout(() => (region.textContent = text), 50);
}

/** Bytes for people: `4.8 MB`. */
export function bytes(count: number): string {
  if (count < 1000) return `${count} B`;
  if (count < 1_000_000) return `${(count / 1000).toFixed(0)} kB`;
  return `${(count / 1_000_000).toFixed(1)} MB`;
}
