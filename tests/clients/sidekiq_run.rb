# Sidekiq through the gateway: sidekiq_run.rb PORT DIRECTORY USER
#
# Starts a Sidekiq process, gives it jobs of every kind, checks what they did and
# what Sidekiq's own API says, and stops it as a service manager would.
port, directory, user = ARGV
ENV.update('GATEWAY' => port, 'GATEWAY_DIRECTORY' => directory, 'GATEWAY_USER' => user)
APP = File.join(__dir__, 'sidekiq_app.rb')
require APP

def equal(got, expected)
  raise "got #{got.inspect}, expected #{expected.inspect}" unless got == expected
end

def until_so(what)
  deadline = Process.clock_gettime(Process::CLOCK_MONOTONIC) + 80
  until yield
    raise what if Process.clock_gettime(Process::CLOCK_MONOTONIC) > deadline
    sleep 0.05
  end
end

pid = Process.spawn('sidekiq', '-r', APP, '-c', '5', '-q', 'default', '-q', 'low', out: 'sidekiq.log', err: %i[child out])
begin
  until_so('it does not start') { Sidekiq::ProcessSet.new.size == 1 }
  50.times { |n| Doubles.perform_async(n) }
  Sidekiq::Client.push_bulk('class' => Doubles, 'args' => (50...100).map { |n| [n] })
  Doubles.perform_in(1, 100)
  SecondTime.perform_async
  Never.perform_async
  expected = (0..100).to_h { |n| [n.to_s, (2 * n).to_s] }
  until_so('a job was not done') { Sidekiq.redis { |redis| redis.hgetall('results') } == expected }
  equal(Sidekiq.redis { |redis| redis.get('runs') }, '101')
  until_so('nothing was tried again') { Sidekiq.redis { |redis| redis.get('attempts') } == '2' }
  until_so('no job has died') { Sidekiq::DeadSet.new.map(&:klass) == ['Never'] }
  until_so('a retry is left') { Sidekiq::RetrySet.new.size.zero? && Sidekiq::ScheduledSet.new.size.zero? }
  equal(Sidekiq::Queue.all.sum(&:size), 0)
  # The counts are written with the heartbeat.
  until_so('it has not counted') { (stats = Sidekiq::Stats.new).processed == 104 && stats.failed == 2 }
  # The order to be quiet goes through Redis.
  Sidekiq::ProcessSet.new.each(&:quiet!)
  until_so('it is not quiet') { Sidekiq::ProcessSet.new.first['quiet'] == 'true' }
ensure
  Process.kill('TERM', pid)
  Process.wait(pid)
  status = $?.exitstatus
  log = File.read('sidekiq.log')
  trouble = log.lines.grep(/ERROR|FATAL|Redis::|SSL|[Ll]ost/)
  warn log if status != 0 || trouble.any?
end
equal([status, trouble], [0, []])
equal(Sidekiq::ProcessSet.new.size, 0)
puts 'ok'
