# Read by the launcher when it runs from an npm package: sets `home` to a folder with the whole project, its locked
# packages and Node.js, made at the first start. A folder is complete or absent: it is filled under another name first.
version=$(cat "$here/packed/digest")
if [ -n "${GLOVEBOX_HOME:-}" ]; then
  base=$GLOVEBOX_HOME
elif [ -n "${XDG_CACHE_HOME:-}" ]; then
  base=$XDG_CACHE_HOME/glovebox
elif [ -n "${HOME:-}" ] && mkdir -p "$HOME/.cache/glovebox" 2>/dev/null && [ -w "$HOME/.cache/glovebox" ]; then
  base=$HOME/.cache/glovebox
else
  # Users without a home of their own (nobody, a service). Others may write next to it, never into it.
  base=${TMPDIR:-/tmp}/glovebox-$(id -u)
  (umask 077; mkdir "$base") 2>/dev/null || true
  if [ -L "$base" ] || [ ! -O "$base" ]; then
    say "$base belongs to somebody else: name a folder of yours in GLOVEBOX_HOME"; exit 3
  fi
fi
home=$base/$version

if [ ! -f "$home/package-lock.json" ]; then
  filling=$base/.$version.$$
  # The jailed workers run as other users and must be able to read the runtime, so the folder is not private.
  (umask 022; mkdir -p "$filling") || { say "cannot write to $base: name a folder of yours in GLOVEBOX_HOME"; exit 3; }
  trap 'rm -rf "$filling"' EXIT
  trap 'exit 3' HUP INT TERM
  say "unpacking to $home (once)"
  before=$(umask); umask 022
  for part in "$here"/* ; do
    case ${part##*/} in packed|package.json|node_modules) ;; *) cp -R "$part" "$filling/" ;; esac
  done
  mkdir -p "$filling/.toolchain/node"
  cp "$here/packed/package.json.txt" "$filling/package.json"
  cp "$here/packed/package-lock.json.txt" "$filling/package-lock.json"
  cp "$here/packed/node-package.json.txt" "$filling/.toolchain/node/package.json"
  cp "$here/packed/node-package-lock.json.txt" "$filling/.toolchain/node/package-lock.json"
  chmod 0755 "$filling/glovebox"
  # npm tells programs that it starts where it works; the one started here works elsewhere.
  npm_config_update_notifier=false; export npm_config_update_notifier
  unset npm_config_prefix npm_config_local_prefix npm_config_global_prefix npm_config_global INIT_CWD
  if [ ! -w "${HOME:-/nonexistent}" ]; then npm_config_cache=$filling/.npm; export npm_config_cache; fi
  GLOVEBOX_PACKAGES_ONLY=production "$filling/glovebox" || exit 3
  rm -rf "$filling/.npm"
  # Whoever came first stays: the two are the same.
  mv -T "$filling" "$home" 2>/dev/null || [ -f "$home/package-lock.json" ] || { say "cannot make $home"; exit 3; }
  rm -rf "$filling"
  umask "$before"
  trap - EXIT HUP INT TERM
fi
