# Makes the calls of a file with Perl's LWP: drive.pl BASE KEY FILE, as drive.py tells.
use strict;
use warnings;
use Digest::SHA qw(sha256_hex);
use HTTP::Request;
use JSON::PP;
use LWP::UserAgent;

my ($base, $default_key, $file) = @ARGV;
my $json = JSON::PP->new->canonical->latin1;
my $agent = LWP::UserAgent->new(keep_alive => 1, timeout => 30, max_redirect => 0);
open my $input, '<', $file or die $!;
my $calls = $json->decode(do { local $/; <$input> });
$| = 1;
for my $call (@$calls) {
    my $request = HTTP::Request->new($call->{method}, $base . $call->{target});
    my $key = $call->{key} // $default_key;
    $request->header(Authorization => "Bearer $key", %{ $call->{fields} // {} });
    if (defined $call->{body}) {
        my $body = $call->{body} x ($call->{times} // 1);
        my $sent = 0;
        # Content that comes from a function has no length. LWP 6.68 ends it twice where the first of it is empty, and the second
        # end is read as the next request's beginning: that call is made with a length.
        my $in_chunks = $call->{chunked} && $body ne '';
        $request->content($in_chunks ? sub { $sent++ ? '' : $body } : $body);
        $request->header('Content-Length' => 0) if $body eq '';
    }
    my $answer = $agent->request($request);
    my %told = (name => $call->{name});
    if (($answer->header('Client-Warning') // '') eq 'Internal response') {
        $told{error} = substr($answer->status_line, 0, 200);
    }
    elsif ($answer->header('X-Died')) {
        $told{error} = 'died: ' . $answer->header('X-Died');
    }
    else {
        my @fields;
        $answer->headers->scan(sub { push @fields, [@_] unless $_[0] =~ /^(?:Client|Title|Link$)/ });
        my $content = $answer->content;
        %told = (%told, status => $answer->code + 0, fields => \@fields, length => length $content,
            sha256 => sha256_hex($content), start => substr($content, 0, 2000));
    }
    print $json->encode(\%told), "\n";
}
