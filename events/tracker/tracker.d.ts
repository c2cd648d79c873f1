/** What tells readers of one kind from others, in your own words: at most 20 keys. */
type AffluenceProperties = Record<string, string | number | boolean>;

interface AffluenceView {
  title?: string;
  kind?: "document" | "image" | "video" | "link";
  /** Page count of a document. */
  pages?: number;
  properties?: AffluenceProperties;
}

/** Fields of an event of your own; all are optional. See docs/api.md for their rules. */
interface AffluenceFields {
  media?: string;
  page?: number;
  duration_ms?: number;
  target?: string;
  network?: string;
  properties?: AffluenceProperties;
}

interface Affluence {
  /** A media was opened, or, without a name, the hub itself. Ends the reading of what was open before. */
  view(media?: string, options?: AffluenceView): void;
  /** The reader turned to a page (1 or more), or a stretch of a video. */
  page(number: number): void;
  /** The open media is shared. Returns the address to share, which carries the token of this share. */
  share(network: string, url?: string): string;
  /** The address to share, without counting a share: with the token of the last share, else that by which the reader came. */
  link(url?: string): string;
  download(properties?: AffluenceProperties): void;
  print(properties?: AffluenceProperties): void;
  play(properties?: AffluenceProperties): void;
  /** A link or an enrichment of the media was clicked. */
  click(target: string, properties?: AffluenceProperties): void;
  search(words: string, properties?: AffluenceProperties): void;
  /** A feature of the reader was used: zoom, table-of-contents, … */
  feature(name: string, properties?: AffluenceProperties): void;
  /** An action of your own: `[a-z][a-z0-9_]{0,31}`. */
  event(action: string, fields?: AffluenceFields): void;
  /**
   * true: from now on a random visitor id, kept in this browser. false: none, and the id is forgotten.
   * Returns the choice in force; undefined where none was made yet.
   */
  consent(isGiven?: boolean): boolean | undefined;
  /** Where `/embed/recommendations.js` is on the page: its list is drawn anew, for a media, or, without one, of what is popular. */
  recommend?(media?: string): void;
}

declare const affluence: Affluence;
interface Window {
  affluence: Affluence;
}
