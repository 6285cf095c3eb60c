/**
 * Level `confined`: what a process can give up by itself where no namespace can be had. Node has no way to make these calls,
 * so a few lines of Perl (part of every Debian and Ubuntu as perl-base) make them and then become the worker by `exec`:
 * no new privileges, death with the parent, Landlock rules that leave the staged files of this worker readable and nothing
 * else of the file system or the network (https://docs.kernel.org/userspace-api/landlock.html), and the same seccomp filter as
 * in the full jail. All of it outlives `exec` and cannot be taken back.
 *
 * What it lacks against `namespaced`: names, sizes and owners of files can be asked for (Landlock does not cover `stat`), and
 * processes of the host have visible numbers. Without a uid of its own a worker could still change limits of its siblings
 * (`prlimit64`), so the level is only reached where the gateway can give each worker one.
 */
export const confineScript = `
use strict;
my ($filter, @readable) = ();
$filter = shift @ARGV;
while (@ARGV && $ARGV[0] ne '--') { push @readable, shift @ARGV }
shift @ARGV;
sub must { my ($what, $result) = @_; die "confine: $what: $!\\n" if $result < 0; return $result }
open(my $file, '<:raw', $filter) or die "confine: filter: $!\\n";
my $program = do { local $/; <$file> };
close $file;
die "confine: filter: empty\\n" if length($program) == 0 || length($program) % 8 != 0;
must('no new privileges', syscall(157, 38, 1, 0, 0, 0));
must('death signal', syscall(157, 1, 9, 0, 0, 0));
my $abi = must('landlock', syscall(444, 0, 0, 1));
die "confine: landlock: too old\\n" if $abi < 1;
my $all = (1 << ($abi >= 5 ? 16 : $abi >= 3 ? 15 : $abi == 2 ? 14 : 13)) - 1;
my $attributes = pack('Q', $all);
$attributes .= pack('Q', 3) if $abi >= 4;
$attributes .= pack('Q', 3) if $abi >= 6;
my $rules = must('landlock ruleset', syscall(444, $attributes, length($attributes), 0));
for my $path (@readable) {
  sysopen(my $at, $path, 010000000) or die "confine: $path: $!\\n";
  my $rule = pack('Ql', (-d $path ? 13 : 5), fileno($at));
  must("landlock rule $path", syscall(445, $rules, 1, $rule, 0));
  close $at;
}
must('landlock restrict', syscall(446, $rules, 0));
syscall(3, $rules);
my $bpf = pack('Sx6P', length($program) / 8, $program);
must('seccomp', syscall(317, 1, 0, $bpf));
exec { $ARGV[0] } @ARGV or die "confine: exec: $!\\n";
`;

/** Numbers of the calls above hold on this machine; elsewhere the level cannot be reached. */
export const canConfine: boolean = process.platform === 'linux' && process.arch === 'x64';
