/** What a setting may be. Each kind reads the text of an environment variable or a flag, or a value of the file. */
export interface Kind<T> {
  /** For the documentation and for complaints: what is allowed. */
  readonly allowed: string;
  /** The value, or null when this is none. */
  readonly read: (raw: unknown) => T | null;
}

export interface Address {
  readonly host: string;
  readonly port: number;
}

export const ADDRESS: Kind<Address> = {
  allowed: 'HOST:PORT, e.g. 127.0.0.1:7443; [::1]:7443 for IPv6',
  read: (raw) => {
    const match = /^(?:\[([0-9a-f:]+)\]|([A-Za-z0-9._-]+)):(\d{1,5})$/i.exec(typeof raw === 'string' ? raw : '');
    const host = match?.[1] ?? match?.[2];
    const port = Number(match?.[3]);
    return host === undefined || port > 65_535 ? null : { host, port };
  },
};

/** An address that only this machine reaches: for what has no identities. */
export const LOOPBACK_ADDRESS: Kind<Address> = {
  allowed: 'HOST:PORT on this machine only (127.0.0.1, [::1] or localhost), e.g. 127.0.0.1:9464',
  read: (raw) => {
    const address = ADDRESS.read(raw);
    return address !== null && /^(127(\.\d{1,3}){3}|::1|localhost)$/.test(address.host) ? address : null;
  },
};

export const YES_OR_NO: Kind<boolean> = {
  allowed: 'true or false',
  read: (raw) => {
    if (raw === true || raw === 'true') return true;
    return raw === false || raw === 'false' ? false : null;
  },
};

export const FOLDER: Kind<string> = pathOf('the path of a folder');
export const FILE: Kind<string> = pathOf('the path of a file');

function pathOf(allowed: string): Kind<string> {
  return {
    allowed,
    read: (raw) => (typeof raw === 'string' && raw !== '' && raw.length <= 4096 && !raw.includes('\0') ? raw : null),
  };
}

/** `https://host:port` and nothing after it; several in an environment variable stand between commas. */
export const ORIGINS: Kind<readonly string[]> = {
  allowed: 'a list of origins, e.g. https://hooks.example; separated by commas in the environment',
  read: (raw) => {
    const texts = typeof raw === 'string' ? raw.split(',').map((text) => text.trim()) : raw;
    if (!Array.isArray(texts) || texts.length > 100) return null;
    const origins = texts.filter((text) => text !== '').map(originOf);
    return origins.every((origin) => origin !== null) ? origins : null;
  },
};

/** An http or https address; no user name in it. */
export const URL_TEXT: Kind<string> = {
  allowed: 'an address, e.g. https://tsa.example/stamp',
  read: (raw) => (typeof raw === 'string' && isHttp(raw) ? raw : null),
};

/** Where somebody is asked, and the file with the key by which its answers are checked: `URL=KEYFILE`. */
export interface KeyedUrl {
  readonly url: string;
  readonly keyFile: string;
}
export const KEYED_URLS: Kind<readonly KeyedUrl[]> = {
  allowed:
    'a list of URL=KEYFILE, e.g. https://acme.example/add-checkpoint=/etc/glovebox/acme.pub; separated by commas in the environment',
  read: (raw) => {
    const texts: unknown = typeof raw === 'string' ? raw.split(',').map((text) => text.trim()) : raw;
    if (!Array.isArray(texts) || texts.length > 16) return null;
    const found = texts.filter((text) => text !== '').map(keyedUrlOf);
    return found.every((one) => one !== null) ? found : null;
  },
};

function keyedUrlOf(text: unknown): KeyedUrl | null {
  if (typeof text !== 'string') return null;
  const split = text.lastIndexOf('=');
  const [url, keyFile] = [text.slice(0, split), text.slice(split + 1)];
  return split > 0 && isHttp(url) && keyFile !== '' && !keyFile.includes('\0') ? { url, keyFile } : null;
}

function isHttp(text: string): boolean {
  if (text.length > 2048 || !URL.canParse(text)) return false;
  const { protocol, username, password } = new URL(text);
  return (protocol === 'https:' || protocol === 'http:') && username === '' && password === '';
}

function originOf(text: unknown): string | null {
  if (typeof text !== 'string' || !URL.canParse(text)) return null;
  const url = new URL(text);
  const isBare = url.pathname === '/' && url.search === '' && url.hash === '' && url.username === '';
  return isBare && (url.protocol === 'https:' || url.protocol === 'http:') ? url.origin : null;
}

export function oneOf<const T extends string>(...values: readonly T[]): Kind<T> {
  return { allowed: values.join(', '), read: (raw) => values.find((value) => value === raw) ?? null };
}

/** A whole number within limits, in the unit that the setting's name says. */
export function whole(least: number, most: number): Kind<number> {
  return {
    allowed: `a whole number from ${least} to ${most}`,
    read: (raw) => {
      if (typeof raw === 'string' && !/^\d{1,15}$/.test(raw)) return null;
      const value = typeof raw === 'string' || typeof raw === 'number' ? Number(raw) : Number.NaN;
      return Number.isSafeInteger(value) && value >= least && value <= most ? value : null;
    },
  };
}
