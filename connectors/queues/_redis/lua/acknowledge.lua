-- Jobs are answered: forget them. ARGV: {lane, id, picture}... Writes: lane:*, picture:*.
even_when_full()
for i = 1, #ARGV, 3 do
  if take_out(ARGV[i], ARGV[i + 1]) then let_go(ARGV[i + 2]) end
end
