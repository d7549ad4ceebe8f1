import semver from 'semver'
export const input = { versions: ['1.10.0', '1.2.0', '2.0.0-beta.1', 'x'] }
export const use = ({ versions }) => ({
  sorted: semver.sort(versions.filter(v => semver.valid(v))),
  best: semver.maxSatisfying(
    versions.filter(v => semver.valid(v)),
    '^1.0.0',
  ),
  next: semver.inc('1.2.3', 'prerelease', 'rc'),
  difference: semver.diff('1.2.3', '2.0.0'),
  subset: semver.subset('^1.2.0', '^1.0.0'),
  coerced: semver.coerce('v3.4 beta').version,
})
